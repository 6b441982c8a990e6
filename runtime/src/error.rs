//! Errors as text: a chain joined by `: `, with the kernel's answers spelled as callers of runc match them.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

/// The whole chain of `error`, outermost first.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = one(error);
    let mut source = error.source();
    while let Some(cause) = source {
        // `#[error(transparent)]` shows its source's text as its own: once is enough.
        let next = one(cause);
        if text != next {
            let _ = write!(text, ": {next}");
        }
        source = cause.source();
    }
    text
}

fn one(error: &(dyn Error + 'static)) -> String {
    let code = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error)
        .or_else(|| error.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error()))
        .or_else(|| error.downcast_ref::<nix::errno::Errno>().map(|errno| *errno as i32));
    code.map_or_else(|| error.to_string(), errno_text)
}

/// `no such file or directory` rather than `No such file or directory (os error 2)`.
fn errno_text(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match text.split_at_checked(1) {
        // Abbreviations such as "RPC" keep their case.
        Some((first, rest)) if !rest.starts_with(char::is_uppercase) => first.to_lowercase() + rest,
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_linux::file::PathError;

    #[test]
    fn the_kernels_answer_is_in_lower_case_and_without_its_number() {
        let error = PathError::at("open", "/x")(io::Error::from_raw_os_error(2));
        assert_eq!(chain(&error), "open /x: no such file or directory");
    }
}
