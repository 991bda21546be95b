//! What the pods of whole pools run: a worker in which the suite's tasks are linked.

use podpool_tests as _;

fn main() {
    podpool::init();
}
