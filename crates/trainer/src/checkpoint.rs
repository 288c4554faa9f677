//! Checkpoints on the disk: commit, verification, scan.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mainstay_core::training::chain::{Checkpoint, Standing};
use ring::digest::{Context, SHA256};
use rustix::fs::{Advice, CWD, RenameFlags};
use rustix::io::Errno;
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
/// In front of the name of a checkpoint that another one is about to replace.
const REPLACED: &str = "replaced-";

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
    /// The file or directory inside that a library wrote in a layout of its own, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<PathBuf>,
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

/// A checkpoint that was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Its name.
    pub id: String,
    /// The one before it.
    pub parent: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Makes the files in `temporary` a checkpoint below `root`: files and directories durable, manifest, rename, directory durable,
/// read again from the disk. The same step of the same attempt takes the place of the one before, in one move.
pub fn commit(root: &Path, temporary: &Path, mut manifest: Manifest) -> io::Result<Committed> {
    let temporary = temporary.canonicalize()?;
    let expected = root.join(format!(".tmp-{}-{}", manifest.attempt, manifest.step));
    if temporary != expected {
        let what = format!("only {} can become this checkpoint", expected.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let id = id_of(manifest.step, manifest.attempt);
    let path = root.join(&id);
    if manifest.parent.as_ref() == Some(&id) {
        manifest.parent = read_manifest(&path).ok().and_then(|before| before.parent).filter(|parent| *parent != id);
    }
    seal(&temporary, &mut manifest)?;
    let replaces = move_into(&temporary, &path)?;
    sync_directory(root)?;
    let bytes = match verify(&path).and_then(|read| mark(&path, Standing::Verified).map(|()| size_of(&read))) {
        Ok(bytes) => bytes,
        Err(error) => {
            quarantine(root, &id)?;
            if replaces {
                fs::rename(&temporary, &path)?;
                sync_directory(root)?;
            }
            return Err(error);
        }
    };
    if replaces {
        fs::remove_dir_all(&temporary)?;
    }
    Ok(Committed { id, parent: manifest.parent, bytes })
}

/// Makes all files durable and writes down what they are.
fn seal(temporary: &Path, manifest: &mut Manifest) -> io::Result<()> {
    let mut found = Found::default();
    list(temporary, Path::new(""), &mut found)?;
    if found.files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checkpoint has no files"));
    }
    for path in found.files {
        let file = File::open(temporary.join(&path))?;
        let (size, sha256) = digest_and_sync(&file)?;
        manifest.files.push(Entry { path, size, sha256 });
    }
    for below in found.directories.iter().rev() {
        sync_directory(&temporary.join(below))?;
    }
    replace(&temporary.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)
}

/// Gives a directory its name. True where another one had it, which has the old name now.
fn move_into(temporary: &Path, path: &Path) -> io::Result<bool> {
    if !path.exists() {
        fs::rename(temporary, path)?;
        return Ok(false);
    }
    match rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
        // A file system that cannot swap: a crash in between is put right by the next scan.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            let away = path.with_file_name(format!("{REPLACED}{}", name_of(path)));
            fs::rename(path, &away)?;
            fs::rename(temporary, path)?;
            fs::rename(away, temporary)?;
        }
        swapped => swapped?,
    }
    Ok(true)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads a file while the disk takes it. What is kept of it in memory is let go of then, so that who reads it again reads what
/// is on the disk.
fn digest_and_sync(file: &File) -> io::Result<(u64, String)> {
    let (digested, synced) = std::thread::scope(|scope| {
        let syncing = scope.spawn(|| file.sync_all());
        (digest(file), syncing.join().unwrap_or_else(|_| file.sync_all()))
    });
    synced?;
    // A hint: where it is not taken, memory is read again.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
    digested
}

/// What a checkpoint says that it is made of.
pub fn read_manifest(path: &Path) -> io::Result<Manifest> {
    Ok(serde_json::from_slice(&fs::read(path.join(MANIFEST))?)?)
}

/// Reads a checkpoint again, every byte of it; an error where it is not as its manifest says.
pub fn verify(path: &Path) -> io::Result<Manifest> {
    let broken = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let manifest = read_manifest(path)?;
    for entry in &manifest.files {
        if entry.path.is_absolute() || entry.path.components().any(|part| part.as_os_str() == "..") {
            return Err(broken(format!("{} leads outside", entry.path.display())));
        }
        let found = path.join(&entry.path);
        let data = fs::symlink_metadata(&found)?;
        if !data.is_file() || data.len() != entry.size || digest(&File::open(&found)?)?.1 != entry.sha256 {
            return Err(broken(format!("{} is not as its manifest says", entry.path.display())));
        }
    }
    Ok(manifest)
}

/// What tells a checkpoint from any other: the SHA-256 of its manifest, which holds those of its files.
pub fn digest_of(path: &Path) -> io::Result<String> {
    digest(&File::open(path.join(MANIFEST))?).map(|(_, sha256)| sha256)
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
    let names = fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    for name in names.collect::<io::Result<Vec<String>>>()? {
        let id = name.strip_prefix(REPLACED).unwrap_or(&name).to_owned();
        if id != name && !root.join(&id).exists() {
            fs::rename(root.join(&name), root.join(&id))?;
        } else if id != name || !id.starts_with("step-") {
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

#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// Each after the one that it is in.
    directories: Vec<PathBuf>,
}

fn list(root: &Path, below: &Path, found: &mut Found) -> io::Result<()> {
    let refused = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.directories.push(path.clone());
            list(root, &path, found)?;
        } else if !kind.is_file() {
            // What a link leads to is not the checkpoint's own, and may change or go.
            return refused(format!("{} is a link or no file; a checkpoint has files of its own", path.display()));
        } else if path != Path::new(MANIFEST) && path != Path::new(STATE) {
            found.files.push(path);
        }
        if found.files.len() + found.directories.len() > FILES_MAX {
            return refused("the checkpoint has too many files".to_owned());
        }
    }
    Ok(())
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
