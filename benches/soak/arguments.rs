//! The command line.

use std::{process::ExitCode, time::Duration};

use clap::Parser;

/// Lets a tunnel work under everything at once, and checks every byte.
#[derive(Parser)]
#[command(name = "soak")]
pub struct Arguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,

    /// Some 20 seconds
    #[arg(long)]
    quick: bool,

    /// Which order of events; another one each time unless it is given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Megabytes that all streams send in a second, each way
    #[arg(long, value_name = "MB", default_value_t = 12.0)]
    rate: f64,

    /// What cargo tells a benchmark and not a test
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    pub fn time(&self) -> Duration {
        match self.quick {
            true => Duration::from_secs(12),
            false => Duration::from_secs_f64(self.minutes * 60.0),
        }
    }

    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(rand::random)
    }

    /// Bytes per second.
    pub fn rate(&self) -> u64 {
        (self.rate * 1e6) as u64
    }
}

/// `Err` when there is nothing to do.
pub fn parse() -> Result<Arguments, ExitCode> {
    let arguments = Arguments::parse();
    if !(arguments.minutes > 0.0 && arguments.minutes < 1e5 && arguments.rate > 0.0) {
        eprintln!("neither the time nor the rate may be nothing, or endless");
        return Err(ExitCode::from(2));
    }
    if !arguments.bench {
        // `cargo test --benches` starts benchmarks as well.
        println!("nothing done: run it by `cargo bench --bench soak`, or with --bench");
        return Err(ExitCode::SUCCESS);
    }
    Ok(arguments)
}
