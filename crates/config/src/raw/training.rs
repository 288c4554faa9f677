//! Training: defaults of runs, and who is told of a new champion.

use crate::read::{Flag, List, Named, Text, section};
use crate::values::{Dur, File, Size, Url, Whole};

section! {
    /// What `mainstay train` does where its command line says nothing, and who is told of a model's new champion.
    Training = "`training`" {
        /// Where checkpoints go. Default: checkpoints.
        checkpoints: File,
        /// Steps between checkpoints. Default: the script decides.
        checkpoint_every: Whole<1, { u64::MAX }>,
        /// Checkpoints between two evaluations of the gates. Default: 10.
        validate_every: Whole<1, { u64::MAX }>,
        /// Retries of each kind of failure. Default: 3.
        retries: Whole<0, 1_000_000>,
        /// Time that a run may be at work. Default: no bound.
        timeout: Dur,
        /// Bounds of a run's processes. Default: none.
        limits: TrainingLimits,
        /// What must hold of a checkpoint: CEL over `metrics` and `champion`, or `cmd:COMMAND`.
        gates: List<Text>,
        /// After a failed gate, go back to what passed before. Default: false.
        rollback_on_failure: Flag,
        /// The model that a run's last checkpoint becomes a version of. Default: none.
        model: Text,
        /// Whoever serves a model, by the model's name.
        models: Named<ServedModel>,
    }
}

section! {
    /// Bounds of a run's processes.
    TrainingLimits = "`limits`" {
        /// Memory of the whole process tree.
        memory: Size,
        /// Processor time of each process.
        cpu: Dur,
        /// Open files of each process.
        files: Whole<1, 1_000_000_000>,
    }
}

section! {
    /// How whoever serves a model is told of its champion.
    ServedModel = "a served model" {
        /// A program and its arguments. It finds MAINSTAY_MODEL, MAINSTAY_VERSION, MAINSTAY_DIGEST, MAINSTAY_ARTIFACT and MAINSTAY_PREVIOUS in its environment; exit code 0 is done.
        command: List<Text>,
        /// An `http://` URL that gets a POST of `{model, version, digest, artifact, previous}`; 2xx is done.
        http: Url,
        /// How long that may take. Default: 60s.
        timeout: Dur,
    }
}
