//! What decides: submissions, dispatch, measurements, and the thread on which they live.

pub(crate) mod dispatch;
pub(crate) mod home;
pub(crate) mod mailbox;
pub(crate) mod measured;
