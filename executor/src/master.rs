//! What decides: submissions, dispatch, measurements, and the thread on which they live.

pub(crate) mod again;
pub(crate) mod callbacks;
pub(crate) mod cell;
pub(crate) mod command;
pub(crate) mod dispatch;
pub(crate) mod events;
pub(crate) mod handle;
pub(crate) mod home;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod mailbox;
pub(crate) mod measured;
pub(crate) mod observed;
pub(crate) mod owners;
pub(crate) mod settings;
pub(crate) mod stats;
