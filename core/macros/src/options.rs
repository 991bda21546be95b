//! The options in the parentheses of an attribute.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Lit, LitBool, LitStr, Path, Result, Token, parse_quote};

use crate::output::OutputPath;
use crate::units;

/// Longest name or version, in bytes: both are part of every program's description.
const MAX_TEXT: usize = 256;

/// The options of `#[task]`.
pub(crate) struct TaskOptions {
    pub(crate) krate: Path,
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
    pub(crate) retry_on: Option<Path>,
    pub(crate) skip_if: Option<Path>,
    pub(crate) output: Option<OutputPath>,
    pub(crate) fallible: bool,
    /// Calls of the setters of `TaskOptions`, such as `.retries(3)`.
    pub(crate) setters: TokenStream,
    /// What is wrong with some of them; they are left out.
    pub(crate) wrong: Option<Error>,
}

impl Parse for TaskOptions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self {
            krate: parse_quote!(::podpool),
            name: None,
            version: None,
            retry_on: None,
            skip_if: None,
            output: None,
            fallible: false,
            setters: TokenStream::new(),
            wrong: None,
        };
        // Behind a wrong option the others are read too: the constructor is written all the same, so that this is the only
        // error, and not the first of one for each use of the task.
        while let Err(error) = each_option(input, |key, input| options.read(key, input)) {
            match &mut options.wrong {
                Some(wrong) => wrong.combine(error),
                None => options.wrong = Some(error),
            }
            skip_option(input)?;
        }
        Ok(options)
    }
}

impl TaskOptions {
    fn read(&mut self, key: &Ident, input: ParseStream<'_>) -> Result<()> {
        match key.to_string().as_str() {
            "crate" => self.krate = value(key, input)?,
            "name" => self.name = Some(text(key, input)?),
            "version" => self.version = Some(text(key, input)?),
            "retry_on" => self.retry_on = Some(value(key, input)?),
            "skip_if" => self.skip_if = Some(value(key, input)?),
            "output" => self.output = Some(OutputPath::of(value(key, input)?)?),
            "fallible" => self.fallible = flag(input)?,
            "retries" => {
                let retries = whole::<u32>(&literal(key, input)?, "a whole number, such as 3")?;
                self.set(key, &quote!(#retries));
            }
            "pack" | "finish_on_lost_lease" => {
                let value = flag(input)?;
                self.set(key, &quote!(#value));
            }
            "timeout" => {
                let millis = quantity(&literal(key, input)?, "\"10m\"", units::duration)?;
                self.setters.extend(quote!(.timeout_ms(#millis)));
            }
            "backoff" => {
                let (initial, longest) =
                    quantity(&literal(key, input)?, "\"1s..60s\"", units::durations)?;
                self.setters.extend(quote!(.backoff_ms(#initial, #longest)));
            }
            "memory" => {
                let bytes = memory(&literal(key, input)?)?;
                self.set(key, &quote!(#bytes));
            }
            _ => {
                return Err(unknown(
                    key,
                    "name, version, retries, retry_on, backoff, timeout, memory, skip_if, output, pack, finish_on_lost_lease, fallible and crate",
                ));
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &Ident, value: &TokenStream) {
        self.setters.extend(quote!(.#key(#value)));
    }
}

/// The options of `#[main]`.
pub(crate) struct MainOptions {
    pub(crate) krate: Path,
    pub(crate) setup: Option<Path>,
}

impl Parse for MainOptions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut krate = parse_quote!(::podpool);
        let mut setup = None;
        each_option(input, |key, input| {
            match key.to_string().as_str() {
                "crate" => krate = value(key, input)?,
                "setup" => setup = Some(value(key, input)?),
                _ => return Err(unknown(key, "setup and crate")),
            }
            Ok(())
        })?;
        Ok(Self { krate, setup })
    }
}

/// Reads `key`, `key = value`, … and refuses a key that comes twice.
fn each_option(
    input: ParseStream<'_>,
    mut read: impl FnMut(&Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    let mut seen: Vec<Ident> = Vec::new();
    while !input.is_empty() {
        let key = input.call(Ident::parse_any)?;
        if seen.contains(&key) {
            return Err(Error::new(key.span(), format!("`{key}` is given twice")));
        }
        read(&key, input)?;
        seen.push(key);
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(())
}

/// Goes on behind the next comma.
fn skip_option(input: ParseStream<'_>) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    input.parse::<Option<Token![,]>>().map(drop)
}

fn unknown(key: &Ident, known: &str) -> Error {
    Error::new(
        key.span(),
        format!("unknown option `{key}`; there are {known}"),
    )
}

fn value<T: Parse>(key: &Ident, input: ParseStream<'_>) -> Result<T> {
    if !input.peek(Token![=]) {
        let message = format!("`{key}` needs a value: `{key} = …`");
        return Err(Error::new(key.span(), message));
    }
    input.parse::<Token![=]>()?;
    input.parse()
}

fn literal(key: &Ident, input: ParseStream<'_>) -> Result<Lit> {
    value(key, input)
}

/// `key` alone is true; `key = false` is possible.
fn flag(input: ParseStream<'_>) -> Result<bool> {
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        return Ok(input.parse::<LitBool>()?.value);
    }
    Ok(true)
}

/// A name or a version. Both are shown in one line of a terminal, so control characters are refused.
fn text(key: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    let literal: LitStr = value(key, input)?;
    let text = literal.value();
    if text.is_empty() || text.len() > MAX_TEXT || text.contains(char::is_control) {
        let message =
            format!("the `{key}` of a task has 1 to {MAX_TEXT} bytes, without control characters");
        return Err(Error::new(literal.span(), message));
    }
    Ok(literal)
}

fn whole<T>(literal: &Lit, what: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let number = match literal {
        Lit::Int(number) if number.suffix().is_empty() => number.base10_parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| Error::new_spanned(literal, format!("expected {what}")))
}

fn quantity<T>(
    literal: &Lit,
    example: &str,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    match literal {
        Lit::Str(text) => read(&text.value()).map_err(|why| Error::new(text.span(), why)),
        other => Err(Error::new_spanned(
            other,
            format!("expected a text, such as {example}"),
        )),
    }
}

fn memory(literal: &Lit) -> Result<u64> {
    if matches!(literal, Lit::Int(_)) {
        let what = "a number of bytes, more than zero, or a text, such as \"512MiB\"";
        return whole::<std::num::NonZeroU64>(literal, what).map(std::num::NonZeroU64::get);
    }
    quantity(literal, "\"512MiB\", or a number of bytes", units::size)
}

impl ToTokens for TaskOptions {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let setters = &self.setters;
        let krate = &self.krate;
        tokens.extend(quote!(#krate::__private::TaskOptions::DEFAULT #setters));
    }
}
