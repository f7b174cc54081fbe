//! Mux.Cool: many sessions on one carrier.

mod carrier;
mod client;
mod codec;
mod dispatcher;
mod error;
mod factory;
mod frame;
mod halves;
mod inlet;
mod manager;
mod outgoing;
mod picker;
mod server;
mod session;
mod stream;
mod table;

pub use client::{ClientOptions, ClientWorker, ControlSession, WorkerStats};
pub use codec::{Event, FrameDecoder};
pub use dispatcher::MuxDispatcher;
pub use error::MuxError;
pub use factory::{ClientWorkerFactory, DialingWorkerFactory};
pub use frame::{
    FrameError, FrameMetadata, FrameOption, SessionStatus, TargetError, end_frame, keep_header,
    new_header,
};
pub use manager::{ClientManager, MuxOutbound};
pub use picker::{IncrementalWorkerPicker, WorkerPicker};
pub use server::{MuxServer, ServerWorker};
pub use stream::MuxStream;
pub use table::{ClientStrategy, SessionManager, TableError};
