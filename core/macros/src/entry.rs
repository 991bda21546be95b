//! `#[main]`: `init()` first, then the program.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use crate::options::MainOptions;

/// Writes the program's `main`. On an error the function stays, so that the compiler complains about one thing only.
pub(crate) fn expand(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => return with_item(&error, item),
    };
    let written = syn::parse2(attribute).and_then(|options| write(&options, &function));
    written.unwrap_or_else(|error| {
        let mut plain = function;
        // Without its attributes too: one of them may expand to an error about the empty function.
        plain.attrs.clear();
        plain.sig.asyncness = None;
        plain.sig.inputs.clear();
        plain.sig.generics = syn::Generics::default();
        plain.sig.output = syn::ReturnType::Default;
        plain.block = syn::parse_quote!({});
        with_item(&error, &quote!(#plain))
    })
}

fn with_item(error: &Error, item: &TokenStream) -> TokenStream {
    let error = error.to_compile_error();
    quote!(#error #item)
}

fn write(options: &MainOptions, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    if let Some(argument) = signature.inputs.first() {
        let message = "`main` takes no arguments: read `std::env::args()`";
        return Err(Error::new_spanned(argument, message));
    }
    if !signature.generics.params.is_empty() {
        let message = "`main` cannot be generic";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let Some(token) = signature.constness {
        return Err(Error::new_spanned(token, "`main` cannot be `const`"));
    }
    // Attributes below this one are expanded after it, on a function that is not async any more.
    let runtime = |attribute: &&syn::Attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "main")
    };
    if let Some(attribute) = function.attrs.iter().find(runtime) {
        let message = "`#[podpool::main]` runs an async `main` on a multi-threaded tokio runtime: leave this attribute out, or write it above `#[podpool::main]` for a runtime of your own";
        return Err(Error::new_spanned(attribute, message));
    }
    let krate = &options.krate;
    let init = match &options.setup {
        Some(setup) => quote!(#krate::init_with(#setup);),
        None => quote!(#krate::init();),
    };
    let (attributes, visibility) = (&function.attrs, &function.vis);
    let (name, output) = (&signature.ident, &signature.output);
    let (asyncness, body) = (&signature.asyncness, &function.block);
    let run = match asyncness {
        Some(_) => quote!(run_async_main),
        None => quote!(run_main),
    };
    // A function within, so that `?` knows the type it returns.
    Ok(quote! {
        #(#attributes)*
        #visibility fn #name() -> ::std::process::ExitCode {
            #init
            #asyncness fn __podpool_main() #output #body
            #krate::__private::#run(__podpool_main)
        }
    })
}
