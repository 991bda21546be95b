//! What the pods of whole pools run: a worker that knows the suite's tasks.

use podpool_tests as _;

fn main() {
    podpool::init();
}
