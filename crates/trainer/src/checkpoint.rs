//! Checkpoints on the disk: commit, verification, scan.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mainstay_core::training::chain::{Checkpoint, Standing};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::place::{replace, sync_directory};

/// The manifest's name.
pub const MANIFEST: &str = "MANIFEST.json";
/// The name of the file that says what is known of a checkpoint.
pub const STATE: &str = "STATE.json";
/// Files of one checkpoint.
const FILES_MAX: usize = 100_000;
const BLOCK: usize = 1 << 20;

/// What a checkpoint is made of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the protocol.
    pub v: u64,
    /// The run.
    pub run: String,
    /// The attempt that made it.
    pub attempt: u32,
    /// Steps made.
    pub step: u64,
    /// The checkpoint that the attempt went on from, or the one before.
    #[serde(default)]
    pub parent: Option<String>,
    /// Position in the data, as the script has it.
    #[serde(default)]
    pub cursor: Value,
    /// What it achieves.
    #[serde(default)]
    pub metrics: Map<String, Value>,
    /// Its files.
    pub files: Vec<Entry>,
}

/// A file of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its path inside.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The name of a checkpoint.
pub fn id_of(step: u64, attempt: u32) -> String {
    format!("step-{step:010}-a{attempt}")
}

/// Makes the files in `temporary` a checkpoint below `root`: files durable, manifest, rename, directory durable, read again.
/// Gives its id.
pub fn commit(root: &Path, temporary: &Path, mut manifest: Manifest) -> io::Result<String> {
    let temporary = temporary.canonicalize()?;
    let expected = root.join(format!(".tmp-{}-{}", manifest.attempt, manifest.step));
    if temporary != expected {
        let what = format!("only {} can become this checkpoint", expected.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut paths = Vec::new();
    list(&temporary, Path::new(""), &mut paths)?;
    if paths.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checkpoint has no files"));
    }
    for path in paths {
        let file = File::open(temporary.join(&path))?;
        let (size, sha256) = digest(&file)?;
        file.sync_all()?;
        manifest.files.push(Entry { path, size, sha256 });
    }
    replace(&temporary.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
    let id = id_of(manifest.step, manifest.attempt);
    let path = root.join(&id);
    if path.exists() {
        fs::rename(&path, free_name(root, &format!("replaced-{id}")))?;
    }
    fs::rename(&temporary, &path)?;
    sync_directory(root)?;
    verify(&path)?;
    mark(&path, Standing::Verified)?;
    Ok(id)
}

/// What a checkpoint says that it is made of.
pub fn read_manifest(path: &Path) -> io::Result<Manifest> {
    Ok(serde_json::from_slice(&fs::read(path.join(MANIFEST))?)?)
}

/// Reads a checkpoint again; an error where it is not as its manifest says.
pub fn verify(path: &Path) -> io::Result<Manifest> {
    let broken = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let manifest = read_manifest(path)?;
    for entry in &manifest.files {
        if entry.path.is_absolute() || entry.path.components().any(|part| part.as_os_str() == "..") {
            return Err(broken(format!("{} leads outside", entry.path.display())));
        }
        let file = File::open(path.join(&entry.path))?;
        if file.metadata()?.len() != entry.size || digest(&file)?.1 != entry.sha256 {
            return Err(broken(format!("{} is not as its manifest says", entry.path.display())));
        }
    }
    Ok(manifest)
}

/// Says what is known of a checkpoint.
pub fn mark(path: &Path, standing: Standing) -> io::Result<()> {
    replace(&path.join(STATE), &serde_json::to_vec(&serde_json::json!({ "standing": standing }))?)
}

/// Puts a broken checkpoint aside.
pub fn quarantine(root: &Path, id: &str) -> io::Result<()> {
    fs::rename(root.join(id), free_name(root, &format!("broken-{id}")))?;
    sync_directory(root)
}

/// All checkpoints below `root` whose manifests can be read, in the order in which they were made. Those that cannot are
/// named apart.
pub fn scan(root: &Path) -> io::Result<(Vec<Checkpoint>, Vec<String>)> {
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(root)? {
        let id = entry?.file_name().to_string_lossy().into_owned();
        if !id.starts_with("step-") {
            continue;
        }
        let path = root.join(&id);
        let manifest =
            fs::read(path.join(MANIFEST)).ok().and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        match manifest {
            Some(Manifest { attempt, step, parent, .. }) => {
                let standing = read_standing(&path);
                found.push((attempt, Checkpoint { id, step, parent, standing }));
            }
            None => broken.push(id),
        }
    }
    found.sort_by_key(|(attempt, checkpoint)| (*attempt, checkpoint.step));
    Ok((found.into_iter().map(|(_, checkpoint)| checkpoint).collect(), broken))
}

/// Removes a checkpoint: out of sight first, so that a crash leaves no half of one.
pub fn remove(root: &Path, id: &str) -> io::Result<()> {
    let away = root.join(format!(".old-{id}"));
    fs::rename(root.join(id), &away)?;
    fs::remove_dir_all(away)
}

/// Size of a checkpoint's files.
pub fn size_of(manifest: &Manifest) -> u64 {
    manifest.files.iter().map(|entry| entry.size).sum()
}

/// A checkpoint without a state was sealed by a script alone, or before a crash: reading it again will tell.
fn read_standing(path: &Path) -> Standing {
    let state = fs::read(path.join(STATE)).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    state.and_then(|mut state| serde_json::from_value(state["standing"].take()).ok()).unwrap_or(Standing::Verified)
}

fn list(root: &Path, below: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(root, &path, paths)?;
        } else if kind.is_file() && path != Path::new(MANIFEST) && path != Path::new(STATE) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checkpoint has too many files"));
        }
    }
    paths.sort();
    Ok(())
}

/// What a checkpoint as a whole hashes to: its manifest, which holds the hashes of its files.
pub fn digest_of(path: &Path) -> io::Result<String> {
    Ok(digest(&File::open(path.join(MANIFEST))?)?.1)
}

fn digest(mut file: &File) -> io::Result<(u64, String)> {
    let (mut context, mut size, mut block) = (Context::new(&SHA256), 0, vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => break,
            count => {
                context.update(&block[..count]);
                size += count as u64;
            }
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    Ok((size, hex))
}

fn free_name(root: &Path, wanted: &str) -> PathBuf {
    let names = std::iter::once(wanted.to_owned()).chain((2..).map(|n| format!("{wanted}.{n}")));
    names.map(|name| root.join(name)).find(|path| !path.exists()).expect("names do not end")
}
