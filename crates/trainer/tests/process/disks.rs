//! Disks that are full, or cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mainstay_core::training::State;
use mainstay_trainer::Error;

use crate::support::{options, run};

/// A small disk; unmounted at the end.
struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    /// `None` where this user may not mount, which the test says.
    fn mount(what: &str) -> Option<Disk> {
        let place = tempfile::tempdir().expect("there is a place for temporary files");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", what, "none"]).arg(place.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Disk { place });
        }
        println!("no small disk can be mounted here: what a script says of a full one is tested alone");
        None
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("run")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.place.path()).status();
    }
}

/// `big STEP` saves 100 kB, or says that the disk is full; `fill` fills the disk.
const BIG: &str = r#"
big() {
  d="$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-$1"; mkdir -p "$d"; tell "{\"type\":\"ckpt_begin\",\"step\":$1}"
  if head -c 100000 /dev/zero > "$d/weights" 2>/dev/null && [ "$(stat -c %s "$d/weights")" = 100000 ]; then
    tell "{\"type\":\"ckpt_ready\",\"step\":$1,\"tmp\":\"$d\"}"
  else rm -rf "$d"; tell "{\"type\":\"error\",\"kind\":\"storage\",\"message\":\"No space left on device\"}"; fi
}
fill() { cat /dev/zero > "$MAINSTAY_CKPT_DIR/filler" 2>/dev/null; true; }
"#;

fn exists(root: &Path, id: &str) -> bool {
    root.join(id).join("STATE.json").exists()
}

#[test]
fn a_full_disk_costs_a_checkpoint_and_neither_the_run_nor_the_one_before() {
    let Some(disk) = Disk::mount("size=700k") else { return };
    let script = r#"step 1 4; big 1; saved 1; fill; step 2 4; big 2; step 3 4
        [ -e "$MAINSTAY_CKPT_DIR/step-0000000001-a1/weights" ] || exit 2
        rm "$MAINSTAY_CKPT_DIR/filler"; step 4 4; big 4; saved 4; tell '{"type":"done","step":4}'"#;
    let summary = run(&options(&disk.root(), &format!("{BIG}\n{script}")));
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 1));
    assert_eq!(summary.latest.as_deref(), Some("step-0000000004-a1"));
    assert!(exists(&disk.root(), "step-0000000001-a1") && !exists(&disk.root(), "step-0000000002-a1"));
    assert!(summary.warnings.iter().any(|warning| warning.contains("No space left")), "{summary:?}");
}

/// The same without a disk of its own: the kernel refuses what is larger than a limit.
#[test]
fn a_save_that_fails_costs_a_checkpoint_and_not_the_run() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"trap '' XFSZ; step 1 3; save 1; saved 1; ulimit -f 100; step 2 3; big 2; step 3 3; save 3; saved 3
        tell '{"type":"done","step":3}'"#;
    let summary = run(&options(place.path(), &format!("{BIG}\n{script}")));
    assert_eq!((summary.state, summary.attempts, summary.checkpoints), (State::Succeeded, 1, 2));
    assert!(exists(place.path(), "step-0000000001-a1") && exists(place.path(), "step-0000000003-a1"));
    assert_eq!(summary.warnings.len(), 1, "{summary:?}");
}

#[test]
fn a_run_without_room_for_its_saves_waits_for_it() {
    let Some(disk) = Disk::mount("size=700k") else { return };
    let root = disk.root();
    let script = r#"[ $MAINSTAY_ATTEMPT -gt 1 ] && { [ -e "$MAINSTAY_CKPT_DIR/filler" ] && exit 2
        step 2 2; tell '{"type":"done","step":2}'; exit 0; }
        step 1 2; big 1; saved 1; fill; big 2; exit 1"#;
    let mut waited = 0;
    let summary = mainstay_trainer::run(&options(&root, &format!("{BIG}\n{script}")), &mut |line| {
        if line == "waiting for room on the disk" {
            waited += 1;
            fs::remove_file(root.join("filler")).expect("it is there");
        }
    });
    let summary = summary.unwrap();
    assert_eq!((summary.state, summary.attempts, waited), (State::Succeeded, 2, 1));
    assert!(exists(&root, "step-0000000001-a1"));
}

#[test]
fn checkpoints_that_may_go_make_room_for_the_next() {
    let Some(disk) = Disk::mount("size=700k") else { return };
    let script = r#"for s in 1 2 3 4 5 6 7 8 9; do step $s 9; big $s; saved $s; done; tell '{"type":"done","step":9}'"#;
    let mut options = options(&disk.root(), &format!("{BIG}\n{script}"));
    options.keep = 100;
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts, summary.checkpoints), (State::Succeeded, 1, 9));
    assert!(exists(&disk.root(), "step-0000000009-a1") && exists(&disk.root(), "step-0000000008-a1"));
}

fn class_of(script: &str) -> String {
    let place = tempfile::tempdir().expect("there is a place for temporary files");
    let mut options = options(place.path(), script);
    options.policy.retries = 0;
    run(&options).reason.expect("it failed")
}

#[test]
fn an_older_storage_error_does_not_class_a_later_crash() {
    let error = r#"tell '{"type":"error","kind":"storage","message":"full"}'; echo 'No space left on device'"#;
    assert!(class_of(&format!("step 1; {error}; exit 1")).starts_with("storage"));
    assert!(class_of("step 1; echo 'OSError: [Errno 28] No space left on device'; exit 1").starts_with("storage"));
    let later = class_of(&format!("step 1; {error}; step 2; sleep 1.5; step 3; exit 1"));
    assert!(later.starts_with("crash"), "{later}");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let (disk, place) = (Disk::mount("ro"), tempfile::tempdir().unwrap());
    let root = match &disk {
        Some(disk) => disk.root(),
        None => {
            let closed = place.path().join("closed");
            fs::create_dir(&closed).unwrap();
            let mut permissions = fs::metadata(&closed).unwrap().permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&closed, permissions).unwrap();
            closed.join("run")
        }
    };
    let went = mainstay_trainer::run(&options(&root, "exit 0"), &mut |_| {});
    assert!(matches!(went, Err(Error::Place { .. })), "{went:?}");
}
