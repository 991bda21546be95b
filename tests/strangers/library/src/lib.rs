//! Tasks in a library, which several programs use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A price at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The asset.
    pub asset: String,
    /// What was paid.
    pub paid: f64,
}

/// A price that cannot be.
#[derive(Debug)]
pub struct Impossible(f64);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a price of {}", self.0)
    }
}

impl std::error::Error for Impossible {}

/// The price with a fee of one in a hundred.
///
/// # Errors
/// [`Impossible`]: it is negative.
#[podpool::task]
pub async fn with_fee(price: Price) -> Result<Price, Impossible> {
    if price.paid < 0.0 {
        return Err(Impossible(price.paid));
    }
    Ok(Price {
        paid: price.paid * 1.01,
        ..price
    })
}

/// Not named by any program: it can be called by its name.
#[podpool::task(name = "greet")]
pub fn greet(name: String) -> String {
    format!("hello {name}")
}

#[cfg(test)]
mod tests {
    use podpool::blocking::gather;
    use podpool::{PodPoolExecutor, TaskErrorKind};

    use super::{Price, with_fee};

    podpool::test_slots!();

    fn price(paid: f64) -> Price {
        Price {
            asset: "BTC".to_owned(),
            paid,
        }
    }

    #[test]
    fn fees_are_added() {
        let pool = PodPoolExecutor::builder()
            .max_workers(2)
            .build_blocking()
            .unwrap();
        let prices = [1.0, 2.0].map(|paid| pool.submit(with_fee(price(paid))));
        assert_eq!(gather(prices).unwrap(), [price(1.01), price(2.02)]);
        let error = pool.submit(with_fee(price(-1.0))).result().unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Failed);
        assert!(error.to_string().contains("a price of -1"), "{error}");
        pool.shutdown().unwrap();
    }
}
