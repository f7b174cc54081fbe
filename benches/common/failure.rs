//! Measurements that fail, of which the others must not suffer.

use std::{
    any::Any,
    error::Error,
    panic::{self, AssertUnwindSafe},
};

pub type Failure = Box<dyn Error + Send + Sync>;

/// The instruments of the tests panic where a test would fail.
pub fn attempt<S>(measure: impl FnOnce() -> Result<S, Failure>) -> Result<S, String> {
    match panic::catch_unwind(AssertUnwindSafe(measure)) {
        Ok(result) => result.map_err(|failure| failure.to_string()),
        Err(payload) => Err(words_of(payload.as_ref())),
    }
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}
