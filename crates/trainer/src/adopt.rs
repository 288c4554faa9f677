//! Checkpoints that libraries write in a layout of their own: directories `checkpoint-N` (Hugging Face) and files
//! `*step=N*.ckpt` (Lightning). One that nobody writes to any more is taken over, by links where that can be, into a
//! checkpoint of the run, whose manifest stands beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the command's arguments name where the path to go on from belongs.
const PLACE: &str = "{resume}";
/// Files and directories of one checkpoint.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of a library's own book of a run.
const STATE_MAX: u64 = 64 << 20;

/// What is seen of a checkpoint from outside: as long as it stays the same, nobody writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Looks {
    entries: usize,
    bytes: u64,
    /// The latest change of a file, in nanoseconds since 1970.
    changed: i128,
}

/// A checkpoint of a library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) step: u64,
    pub(crate) looks: Looks,
}

/// What is known of a directory of checkpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Watch {
    /// Those that were taken over, or were not to be, as they looked then.
    taken: BTreeMap<PathBuf, Looks>,
    /// As they looked the last time.
    #[serde(skip)]
    seen: BTreeMap<PathBuf, Looks>,
}

impl Watch {
    /// Those that are new, whole and no longer written to, by step. `writers` are processes that might write; without any
    /// nothing has to be waited for.
    pub(crate) fn ready(&mut self, directory: &Path, writers: &[i32]) -> Vec<Found> {
        let mut found = find(directory);
        self.taken.retain(|path, _| found.iter().any(|found| found.path == *path));
        let before = std::mem::take(&mut self.seen);
        self.seen = found.iter().map(|found| (found.path.clone(), found.looks)).collect();
        found.retain(|found| {
            self.taken.get(&found.path) != Some(&found.looks)
                && (writers.is_empty() || before.get(&found.path) == Some(&found.looks))
                && !is_written(&found.path, writers)
                && is_whole(&found.path)
        });
        found.sort_by_key(|found| found.step);
        found
    }

    /// It is not to be looked at again, unless it changes.
    pub(crate) fn take(&mut self, found: &Found) {
        self.taken.insert(found.path.clone(), found.looks);
    }
}

fn find(directory: &Path) -> Vec<Found> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().ok()?);
        let name = entry.file_name().into_string().ok()?;
        let step = if kind.is_dir() {
            name.strip_prefix("checkpoint-")?.parse().ok()?
        } else {
            let (_, step) = name.strip_suffix(".ckpt").filter(|_| kind.is_file())?.rsplit_once("step=")?;
            step.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?
        };
        let looks = look(&path).ok()?;
        Some(Found { path, step, looks })
    });
    found.collect()
}

fn look(path: &Path) -> io::Result<Looks> {
    let mut looks = Looks::default();
    for file in files(path)? {
        let data = fs::symlink_metadata(&file)?;
        looks.entries += 1;
        looks.bytes += data.len();
        looks.changed = looks.changed.max(i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec()));
    }
    Ok(looks)
}

/// The file itself, or all below.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(next) = open.pop() {
        if fs::symlink_metadata(&next)?.is_dir() {
            open.extend(fs::read_dir(next)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?);
        } else {
            files.push(next);
        }
        if files.len() + open.len() > ENTRIES_MAX {
            return Err(io::Error::other("too many files"));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether one of the processes has a file of it open for writing.
fn is_written(path: &Path, writers: &[i32]) -> bool {
    writers.iter().any(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(path))).any(|entry| {
            let about = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
            let about = fs::read_to_string(about).unwrap_or_default();
            let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
            // The last two bits say how it was opened; what cannot be read may write.
            flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok()).is_none_or(|flags| flags & 3 != 0)
        })
    })
}

/// Whether nothing is cut off, as far as formats tell without being loaded. A process that is killed leaves what it had written.
fn is_whole(path: &Path) -> bool {
    let Ok(files) = files(path) else { return false };
    // The trainer writes its state after weights and optimiser.
    let is_finished = !path.is_dir() || path.join("trainer_state.json").is_file();
    is_finished && !files.is_empty() && files.iter().all(|file| is_whole_file(file).unwrap_or(false))
}

fn is_whole_file(path: &Path) -> io::Result<bool> {
    let data = fs::symlink_metadata(path)?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let mut file = File::open(path)?;
    Ok(match ending {
        "json" => data.len() > STATE_MAX || serde_json::from_slice::<Value>(&fs::read(path)?).is_ok(),
        "safetensors" => {
            let mut size = [0; 8];
            file.read_exact(&mut size)?;
            let mut header = String::new();
            file.take(u64::from_le_bytes(size).min(STATE_MAX)).read_to_string(&mut header)?;
            let header: BTreeMap<String, Value> = serde_json::from_str(&header)?;
            let ends = header.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
            data.len() == 8 + u64::from_le_bytes(size) + ends.max().unwrap_or(0)
        }
        "ckpt" | "pt" | "pth" | "bin" => {
            let mut start = [0; 4];
            let is_zip = file.read_exact(&mut start).is_ok() && start == *b"PK\x03\x04";
            file.seek(SeekFrom::Start(0))?;
            // Older ones are bare pickles, whose last byte says STOP.
            if is_zip { zip::ZipArchive::new(file).is_ok() } else { ends_with_stop(&mut file, data.len())? }
        }
        _ => data.is_file(),
    })
}

fn ends_with_stop(file: &mut File, size: u64) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::Start(size.saturating_sub(1)))?;
    Ok(size > 0 && file.read_exact(&mut last).is_ok() && last == *b".")
}

/// Puts it into `directory`, under its own name: linked, or copied where the directory is on another disk.
pub(crate) fn take_over(source: &Path, directory: &Path) -> io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let base = source.parent().unwrap_or(Path::new("/"));
    for file in files(source)? {
        if !fs::symlink_metadata(&file)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is a link or no file", file.display())));
        }
        let to = directory.join(file.strip_prefix(base).map_err(io::Error::other)?);
        fs::create_dir_all(to.parent().unwrap_or(directory))?;
        if fs::hard_link(&file, &to).is_err() {
            fs::copy(&file, &to)?;
        }
    }
    Ok(())
}

/// What the trainer's own book says of the step: the results of its evaluation.
pub(crate) fn metrics(path: &Path, step: u64) -> Map<String, Value> {
    let book = path.join("trainer_state.json");
    let small = fs::metadata(&book).is_ok_and(|data| data.len() <= STATE_MAX);
    let read = fs::read(&book).ok().filter(|_| small).and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let lines = read.as_ref().and_then(|book| book["log_history"].as_array()).into_iter().flatten();
    let of_step = lines.filter(|line| line["step"].as_u64() == Some(step)).filter_map(Value::as_object);
    let numbers = of_step.flatten().filter(|(name, value)| name.starts_with("eval_") && value.is_number());
    numbers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The command with the path to go on from in place of `{resume}`; where there is none the argument goes, with the flag in
/// front of it.
pub(crate) fn with_resume(command: &[String], resume: Option<&Path>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(command.len());
    for argument in command {
        match resume {
            Some(path) => out.push(argument.replace(PLACE, &path.to_string_lossy())),
            None if argument == PLACE => {
                let has_flag = out.len() > 1 && out.last().is_some_and(|before| before.starts_with('-'));
                out.truncate(out.len() - usize::from(has_flag));
            }
            None if argument.contains(PLACE) && argument.starts_with('-') => {}
            None => out.push(argument.replace(PLACE, "")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_nothing_to_go_on_from_the_flag_goes_too() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let with = |text: &str, path: Option<&str>| with_resume(&words(text), path.map(Path::new)).join(" ");
        assert_eq!(with("python t.py --from {resume} --lr 1", Some("/c/5")), "python t.py --from /c/5 --lr 1");
        assert_eq!(with("python t.py --from {resume} --lr 1", None), "python t.py --lr 1");
        assert_eq!(with("python t.py --from={resume} --lr 1", None), "python t.py --lr 1");
        assert_eq!(with("python t.py --from={resume}", Some("/c")), "python t.py --from=/c");
        assert_eq!(with("python t.py {resume} --lr 1", None), "python t.py --lr 1");
        assert_eq!(with("python t.py model.ckpt={resume}", None), "python t.py model.ckpt=");
    }

    #[test]
    fn only_what_is_whole_and_quiet_is_ready_and_only_once() {
        let place = tempfile::tempdir().unwrap();
        let five = place.path().join("checkpoint-5");
        fs::create_dir(&five).unwrap();
        fs::write(five.join("optimizer.pt"), "weights.").unwrap();
        fs::create_dir(place.path().join("checkpoint-best")).unwrap();
        fs::write(place.path().join("last.ckpt"), "x.").unwrap();
        let own = [std::process::id() as i32];
        let mut watch = Watch::default();
        for _ in 0..3 {
            assert!(watch.ready(place.path(), &[]).is_empty(), "its state comes last");
        }
        fs::write(five.join("trainer_state.json"), r#"{"log_history":[{"step":5,"eval_loss":0.5,"loss":1}]}"#).unwrap();
        assert!(watch.ready(place.path(), &own).is_empty(), "it changed");
        let open = fs::OpenOptions::new().append(true).open(five.join("optimizer.pt")).unwrap();
        assert!(watch.ready(place.path(), &own).is_empty(), "it is open for writing");
        drop(open);
        let _reader = File::open(five.join("optimizer.pt")).unwrap();
        let ready = watch.ready(place.path(), &own);
        assert_eq!((ready.len(), ready[0].step), (1, 5));
        assert_eq!(metrics(&five, 5).len(), 1);
        watch.take(&ready[0]);
        assert!(watch.ready(place.path(), &[]).is_empty());
        fs::write(five.join("optimizer.pt"), "other weights.").unwrap();
        assert_eq!(watch.ready(place.path(), &[]).len(), 1, "written anew after a return to an earlier step");
        fs::write(five.join("optimizer.pt"), "other weig").unwrap();
        assert!(watch.ready(place.path(), &[]).is_empty(), "cut off");
    }

    #[test]
    fn files_of_lightning_have_their_step_in_the_name() {
        let place = tempfile::tempdir().unwrap();
        for name in ["epoch=0-step=50.ckpt", "epoch=1-step=100-v1.ckpt", "step=x.ckpt"] {
            fs::write(place.path().join(name), "pickled.").unwrap();
        }
        let steps: Vec<u64> = Watch::default().ready(place.path(), &[]).iter().map(|found| found.step).collect();
        assert_eq!(steps, [50, 100]);
        let taken = place.path().join("taken");
        take_over(&place.path().join("epoch=0-step=50.ckpt"), &taken).unwrap();
        assert!(taken.join("epoch=0-step=50.ckpt").is_file());
    }
}
