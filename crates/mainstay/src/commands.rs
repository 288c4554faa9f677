//! One module per command.

pub(crate) mod chaos;
pub(crate) mod check;
pub(crate) mod drift;
pub(crate) mod gameday;
pub(crate) mod incident;
pub(crate) mod init;
pub(crate) mod level;
pub(crate) mod models;
pub(crate) mod oncall;
pub(crate) mod quality;
pub(crate) mod reference;
pub(crate) mod review;
pub(crate) mod runbook;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod slo;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod train;
pub(crate) mod wall;
