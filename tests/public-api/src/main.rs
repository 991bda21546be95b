//! Prints the public API of a crate, an item a line, from the JSON that rustdoc wrote. Derived and automatic
//! implementations are left out. `.ci/run` compares it with the text beside this program.
#![expect(clippy::print_stdout, reason = "the program prints its output")]

use std::env;
use std::io;

use public_api::Builder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let json = env::args_os().nth(1);
    let json = json.ok_or_else(|| io::Error::other("usage: podpool-public-api RUSTDOC.json"))?;
    let api = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    println!("{api}");
    Ok(())
}
