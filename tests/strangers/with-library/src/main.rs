//! A program whose tasks are in a library.

use library::{Price, with_fee};
use podpool::json;
use podpool::prelude::*;

#[podpool::main]
async fn main() -> anyhow::Result<()> {
    let pool = PodPoolExecutor::builder().max_workers(2).build().await?;
    let paid = [("BTC", 100.0), ("ETH", 10.0)];
    let calls = paid.map(|(asset, paid)| Price {
        asset: asset.to_owned(),
        paid,
    });
    let keys = ["BTC", "ETH"];
    let mut prices = pool.map_keyed(keys.into_iter().zip(calls), with_fee);
    while let Some(price) = prices.next().await {
        let (asset, price) = price?;
        println!("{asset} {:.2}", price.paid);
    }
    println!("{}", pool.submit(json::call("greet", r#"["Ada"]"#)?).await?);
    Ok(pool.shutdown().await?)
}
