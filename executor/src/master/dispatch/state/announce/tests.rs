//! Tests of what workers receive at the end.

use std::sync::Arc;

use podpool_core::envelope::{MacKey, Message, RunState};
use podpool_core::fleet::FleetEvent;
use podpool_core::queue::Queue;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::worker::Queues;
use tokio::sync::oneshot;

use super::super::super::fake::idle;
use super::*;
use crate::master::command::{Command, ShutdownBehavior};

/// The state of the run in the next control message.
async fn told(control: &dyn Queue) -> RunState {
    let taken = control.take(1, Duration::from_secs(7_200)).await.unwrap();
    let message = Message::read(taken[0].body.clone(), &MacKey::Absent);
    let Ok(Message::Control(control)) = message else {
        panic!("not a control message");
    };
    control.state
}

#[tokio::test(start_paused = true)]
async fn the_end_is_sent_to_workers_at_once_however_short_ago_the_last_change_was() {
    let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
    let queues = Queues {
        tasks: queue("tasks"),
        results: queue("results"),
        control: queue("control"),
    };
    let control = queues.control.clone();
    let (mailbox, fleet, _orders, mut dispatch) = idle(queues);
    dispatch.settings.control_pause = Duration::from_secs(3_600);
    let (done, ended) = oneshot::channel();
    let master = async {
        assert_eq!(told(&*control).await, RunState::Open);
        let began = Instant::now();
        let behavior = ShutdownBehavior::WaitForTasks;
        mailbox.command(Command::Shutdown { behavior, done });
        assert_eq!(told(&*control).await, RunState::Ended);
        assert!(began.elapsed() < Duration::from_secs(1));
        let leftovers = Vec::new();
        fleet.send(FleetEvent::Ended { leftovers }).unwrap();
        assert_eq!(ended.await.unwrap(), Ok(()));
    };
    tokio::join!(dispatch.run(), master);
}
