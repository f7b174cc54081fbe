//! The models, on shuttle's. What they promise is at the most what the real
//! ones do: who is woken is left to chance, and a clock may strike at any time.

// Nothing but tests runs on them: what must not be ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod bell;
mod channel;
mod explore;
mod lock;
mod time;

pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread_local;

pub use channel::{Receiver, Sender, after, at, bounded, never, wait_any};
pub use explore::{Time, explore};
pub use lock::{Condvar, Mutex, MutexGuard};

/// Crossbeam's, as far as this crate uses it: `recv` and `send` arms, without
/// a default.
macro_rules! select {
    (@collect ($($arms:tt)*)) => {
        $crate::sync::shim::select!(@wait $($arms)*)
    };
    (@collect ($($arms:tt)*)
        $op:ident($($arg:expr),+) -> $name:pat => $body:block $(,)? $($rest:tt)*) => {
        $crate::sync::shim::select!(@collect ($($arms)* [$op ($($arg),+) ($name) ($body)]) $($rest)*)
    };
    (@collect ($($arms:tt)*)
        $op:ident($($arg:expr),+) -> $name:pat => $body:expr, $($rest:tt)*) => {
        $crate::sync::shim::select!(@collect ($($arms)* [$op ($($arg),+) ($name) ($body)]) $($rest)*)
    };
    (@collect ($($arms:tt)*) $op:ident($($arg:expr),+) -> $name:pat => $body:expr) => {
        $crate::sync::shim::select!(@collect ($($arms)* [$op ($($arg),+) ($name) ($body)]))
    };
    (@wait $([$op:ident ($channel:expr $(, $value:expr)?) ($name:pat) ($body:expr)])+) => {{
        let ready = $crate::sync::shim::wait_any(&[
            $($crate::sync::shim::select!(@port $op $channel)),+
        ]);
        $crate::sync::shim::select!(
            @take ready $([$op ($channel $(, $value)?) ($name) ($body)])+
        )
    }};
    (@port recv $channel:expr) => { $channel.receiving() };
    (@port send $channel:expr) => { &$channel.sending() };
    (@take $ready:ident [$op:ident ($($arg:expr),+) ($name:pat) ($body:expr)]) => {{
        let _ = $ready;
        let $name = $crate::sync::shim::select!(@now $op $($arg),+);
        $body
    }};
    (@take $ready:ident [$op:ident ($($arg:expr),+) ($name:pat) ($body:expr)] $($rest:tt)+) => {
        if $ready == 0 {
            let $name = $crate::sync::shim::select!(@now $op $($arg),+);
            $body
        } else {
            let ready = $ready - 1;
            $crate::sync::shim::select!(@take ready $($rest)+)
        }
    };
    (@now recv $channel:expr) => { $channel.recv_now() };
    (@now send $channel:expr, $value:expr) => { $channel.send_now($value) };
    ($($arms:tt)+) => {
        $crate::sync::shim::select!(@collect () $($arms)+)
    };
}
pub(crate) use select;
