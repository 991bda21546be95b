//! A program with a command line. Its slots are started without arguments: they never come to the parser.

use clap::Parser;
use podpool::prelude::*;
use podpool::{Backend, json};

/// Counts words.
#[derive(Parser)]
struct Arguments {
    /// Where tasks run.
    #[arg(long, value_parser = backend)]
    backend: Option<Backend>,
    /// How many workers.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// A task to call by its name, with its arguments as JSON.
    #[arg(long, num_args = 2, value_names = ["TASK", "JSON"])]
    call: Option<Vec<String>>,
    /// Lists the tasks of this program.
    #[arg(long)]
    tasks: bool,
    /// Texts whose words are counted.
    texts: Vec<String>,
}

fn backend(name: &str) -> Result<Backend, String> {
    match name {
        "local" => Ok(Backend::Local),
        "kubernetes" => Ok(Backend::Kubernetes),
        _ => Err("`local` or `kubernetes`".to_owned()),
    }
}

/// How many words a text has.
#[podpool::task(name = "count-words")]
fn count_words(
    /// The text; words are separated by blanks.
    text: String,
    /// Shorter words are left out.
    shortest: Option<usize>,
) -> usize {
    let words = text.split_whitespace();
    words
        .filter(|word| word.len() >= shortest.unwrap_or(1))
        .count()
}

#[podpool::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.tasks {
        for task in json::tasks()? {
            println!("{}: {}", task.name, task.docs);
            for parameter in task.parameters {
                println!("  {}: {}", parameter.name, parameter.docs);
            }
        }
        return Ok(());
    }
    let mut builder = PodPoolExecutor::builder().max_workers(arguments.workers);
    if let Some(backend) = arguments.backend {
        builder = builder.backend(backend);
    }
    let pool = builder.build().await?;
    if let Some([task, json]) = arguments.call.as_deref() {
        println!("{}", pool.submit(json::call(task, json)?).await?);
    }
    let mut counts = pool.map(arguments.texts, |text| count_words(text, None));
    while let Some(count) = counts.next().await {
        println!("{}", count?);
    }
    Ok(pool.shutdown().await?)
}
