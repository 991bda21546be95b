//! `#[task]`: a constructor in the function's place, and the function, its erased body and its registration within.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, Item, ItemFn, Path, Result, Type};

use crate::docs;
use crate::options::TaskOptions;
use crate::output::lent;
use crate::signature::{Returned, Task};

/// Writes a task. Where its signature is refused the function stays as it is, so that an editor still understands its
/// body.
pub(crate) fn expand(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    read(attribute, item).map_or_else(
        |error| {
            let error = error.to_compile_error();
            quote!(#error #item)
        },
        |parts| {
            let wrong = parts.options.wrong.as_ref().map(Error::to_compile_error);
            let written = parts.write();
            quote!(#wrong #written)
        },
    )
}

fn read(attribute: TokenStream, item: &TokenStream) -> Result<Parts> {
    let function = match syn::parse2(item.clone())? {
        Item::Fn(function) => function,
        other => return Err(Error::new_spanned(other, "only a function can be a task")),
    };
    let mut options: TaskOptions = syn::parse2(attribute)?;
    let task = Task::read(&function.sig, options.fallible)?;
    if let (Some(path), Returned::Output(_)) = (&options.retry_on, &task.returned) {
        let error = Error::new_spanned(
            path,
            "`retry_on` judges the error of a task, and this one returns no `Result`; \
             if its return type is one by another name, say `fallible`",
        );
        options.wrong.get_or_insert(error);
        options.retry_on = None;
    }
    if let (Some(_), Some(output)) = (&options.skip_if, &options.output) {
        return Err(Error::new(
            output.span(),
            "`output` and `skip_if` are two ways to skip a task: keep `output` where the task is done when a path \
             exists, and `skip_if` where a function decides",
        ));
    }
    let mut parts = Parts {
        function,
        options,
        task,
        skip: TokenStream::new(),
    };
    parts.skip = parts.skip()?;
    Ok(parts)
}

struct Parts {
    function: ItemFn,
    options: TaskOptions,
    task: Task,
    /// Leaves the erased body where the task is skipped.
    skip: TokenStream,
}

impl Parts {
    fn private(&self) -> TokenStream {
        let krate: &Path = &self.options.krate;
        quote!(#krate::__private)
    }

    fn names(&self) -> Vec<&Ident> {
        self.task.arguments.iter().map(|a| &a.name).collect()
    }

    fn types(&self) -> Vec<&Type> {
        self.task.arguments.iter().map(|a| &a.ty).collect()
    }

    /// The type that a call resolves to.
    fn output(&self) -> TokenStream {
        let private = self.private();
        match &self.task.returned {
            Returned::Output(ty) => ty.to_token_stream(),
            Returned::Result {
                output: Some(ty), ..
            } => ty.to_token_stream(),
            Returned::Result { whole, .. } => {
                quote!(<#whole as #private::Fallible>::Ok)
            }
        }
    }

    fn write(&self) -> TokenStream {
        let private = self.private();
        let (attributes, visibility) = (&self.function.attrs, &self.function.vis);
        let (keyword, name) = (&self.function.sig.fn_token, &self.function.sig.ident);
        let (names, types) = (self.names(), self.types());
        let output = self.output();
        let (checks, inner, run) = (self.checks(), self.inner(), self.run());
        let spec = self.spec();
        let call = match &self.task.returned {
            Returned::Output(_) => quote!(#private::call),
            Returned::Result { whole, .. } => {
                quote_spanned!(whole.span()=> #private::call_fallible::<#whole, _>)
            }
        };
        quote! {
            #(#attributes)*
            #visibility #keyword #name(#(#names: #types),*) -> #private::Call<#output> {
                #checks
                #inner
                #run
                #spec
                #call(&__PODPOOL_SPEC, &(#(#private::Lent(&#names),)*))
            }
        }
    }

    /// Puts the error about a missing trait at the type itself.
    fn checks(&self) -> TokenStream {
        let private = self.private();
        let arguments = self
            .types()
            .into_iter()
            .map(|ty| quote_spanned!(ty.span()=> const _: () = #private::check_argument::<#ty>();));
        let output = self.output();
        let span = self.function.sig.output.span();
        let nothing =
            self.options.output.as_ref().map(
                |_| quote_spanned!(span=> const _: () = #private::check_nothing::<#output>();),
            );
        let output = quote_spanned!(span=> const _: () = #private::check_output::<#output>(););
        quote!(#(#arguments)* #output #nothing)
    }

    /// The values of the arguments in the erased body.
    fn values(&self) -> Vec<Ident> {
        let arguments = 0..self.task.arguments.len();
        arguments.map(|i| format_ident!("__argument_{i}")).collect()
    }

    /// Leaves the erased body where the task is skipped, before its arguments are moved.
    fn skip(&self) -> Result<TokenStream> {
        let private = self.private();
        let values = self.values();
        if let Some(path) = &self.options.skip_if {
            let output = self.output();
            // The call, at the path: a function of another type is reported there.
            let place = path.span();
            let lent = values.iter().map(|value| lent(value, place));
            let asked = quote_spanned!(place=> #path(#(#lent),*));
            return Ok(quote! {
                if !__context.is_forced() {
                    let __skipped: #private::Option<#output> = #asked;
                    if let #private::Some(__skipped) = __skipped {
                        #private::mark_skipped(__context);
                        return #private::encode_output(&__skipped, __output);
                    }
                }
            });
        }
        let Some(output) = &self.options.output else {
            return Ok(TokenStream::new());
        };
        let names = self.names().into_iter();
        let names = names.map(|name| syn::ext::IdentExt::unraw(name).to_string());
        let parameters: Vec<_> = names.zip(values).collect();
        let path = output.render(&parameters, &private)?;
        let is_there = match self.function.sig.asyncness {
            Some(_) => quote!(#private::output_is_there(__context, __path).await?),
            None => quote!(#private::output_is_there_blocking(__context, __path)?),
        };
        Ok(quote! {
            let __path = #path;
            if #is_there {
                #private::mark_skipped(__context);
                return #private::encode_output(&(), __output);
            }
        })
    }

    /// The function as it was written, under another name.
    fn inner(&self) -> TokenStream {
        let mut signature = self.function.sig.clone();
        signature.ident = Ident::new("__podpool_body", signature.ident.span());
        // The language has no documentation of parameters: it is in the registration.
        for input in &mut signature.inputs {
            if let syn::FnArg::Typed(typed) = input {
                typed.attrs.retain(|attribute| !docs::is_docs(attribute));
                // A parameter in the path is used, also where the body does without it.
                let output = self.options.output.as_ref();
                if output.is_some_and(|output| output.names(&typed.pat)) {
                    typed
                        .attrs
                        .push(syn::parse_quote!(#[allow(unused_variables)]));
                }
            }
        }
        let block = &self.function.block;
        quote! {
            // A task's arguments are owned and its asyncness is a choice, so these lints have nothing to say.
            #[allow(clippy::needless_pass_by_value, clippy::unused_async, clippy::too_many_arguments)]
            #[allow(clippy::items_after_statements, clippy::unnecessary_wraps)]
            #signature #block
        }
    }

    /// The erased body: decodes, calls, judges, encodes.
    fn run(&self) -> TokenStream {
        let private = self.private();
        let types = self.types();
        let (values, skip) = (self.values(), &self.skip);
        let context = self.task.wants_context.then(|| quote!(__context,));
        let wait = self.function.sig.asyncness.map(|_| quote!(.await));
        let returned = quote!(__podpool_body(#context #(#values),*) #wait);
        let value = match &self.task.returned {
            Returned::Output(_) => returned,
            Returned::Result { .. } => {
                let judge = self.retry_on();
                quote!(#private::judge(#returned, #judge)?)
            }
        };
        let steps = quote! {
            let (#(#private::Owned(#values),)*): (#(#private::Owned<#types>,)*) =
                #private::decode_arguments(__arguments)?;
            #skip
            #private::encode_output(&#value, __output)
        };
        if wait.is_none() {
            return quote! {
                fn __podpool_run(
                    __context: &#private::TaskContext,
                    __arguments: &[u8],
                    __output: &mut #private::Vec<u8>,
                ) -> #private::Result<(), #private::Failure> {
                    #steps
                }
            };
        }
        quote! {
            fn __podpool_run<'__a>(
                __context: &'__a #private::TaskContext,
                __arguments: &'__a [u8],
                __output: &'__a mut #private::Vec<u8>,
            ) -> #private::BodyFuture<'__a> {
                #private::Box::pin(async move { #steps })
            }
        }
    }

    fn retry_on(&self) -> TokenStream {
        let private = self.private();
        match &self.options.retry_on {
            Some(path) => quote_spanned!(path.span()=> #path),
            None => quote!(#private::always),
        }
    }

    /// What the registration keeps of the signature.
    fn signature(&self) -> TokenStream {
        let private = self.private();
        let (types, output) = (self.types(), self.output());
        let docs = docs::text(&self.function.attrs);
        let parameters = self.task.arguments.iter().map(|argument| {
            let name = syn::ext::IdentExt::unraw(&argument.name).to_string();
            let docs = &argument.docs;
            quote!(#private::Parameter::new(#name, #docs))
        });
        quote! {
            #private::Signature {
                docs: #docs,
                parameters: &[#(#parameters),*],
                json: #private::JsonCodec::of::<(#(#types,)*), #output>(),
            }
        }
    }

    fn spec(&self) -> TokenStream {
        let private = self.private();
        let types = self.types();
        let output = self.output();
        let options = &self.options;
        let function = &self.function.sig.ident;
        let name = match &options.name {
            Some(name) => quote!(#name),
            None => {
                let function = syn::ext::IdentExt::unraw(function).to_string();
                quote!(::core::concat!(::core::module_path!(), "::", #function))
            }
        };
        let version = match &options.version {
            Some(version) => quote!(#private::Some(#version)),
            None => quote!(#private::None),
        };
        let body = match self.function.sig.asyncness {
            Some(_) => quote!(Async),
            None => quote!(Sync),
        };
        let signature = self.signature();
        // The line is the function's own.
        let line = quote_spanned!(function.span()=> ::core::line!());
        quote! {
            static __PODPOOL_SPEC: #private::TaskSpec = #private::TaskSpec {
                name: #name,
                version: #version,
                file: ::core::file!(),
                line: #line,
                signature: #signature,
                options: #options,
                body: #private::Body::#body(__podpool_run),
                shape: #private::shape::<(#(#types,)*), #output>,
                traced: #private::OnceLock::new(),
                index: #private::OnceLock::new(),
            };
            #[#private::linkme::distributed_slice(#private::TASKS)]
            #[linkme(crate = #private::linkme)]
            static __PODPOOL_ENTRY: &#private::TaskSpec = &__PODPOOL_SPEC;
        }
    }
}
