//! Options that every benchmark of whole programs has.

use clap::Args;

/// A row of a benchmark's table.
pub trait Named {
    fn name(&self) -> &'static str;
}

#[derive(Args)]
pub struct Selection {
    /// Only this row, or these; see --list
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// List the rows
    #[arg(long)]
    list: bool,

    /// What cargo tells a benchmark and not a test
    #[arg(long, hide = true)]
    bench: bool,
}

impl Selection {
    /// Whether anything is to be measured; says why, if not.
    pub fn is_wanted(&self, benchmark: &str, all: &[impl Named]) -> Result<bool, String> {
        if let Some(name) = self.unknown(all) {
            return Err(format!("there is no row {name:?}; see --list"));
        }
        if self.list {
            all.iter().for_each(|row| println!("{}", row.name()));
            return Ok(false);
        }
        if !self.bench {
            // `cargo test --benches` starts benchmarks as well; minutes of load
            // are not what it wants.
            println!(
                "nothing measured: run it by `cargo bench --bench {benchmark}`, or with --bench"
            );
        }
        Ok(self.bench)
    }

    /// The rows that are wanted.
    pub fn of<'a, R: Named>(&self, all: &'a [R]) -> Vec<&'a R> {
        let named = |row: &R| self.only.iter().any(|only| only == row.name());
        let wanted = |row: &&R| self.only.is_empty() || named(row);
        all.iter().filter(wanted).collect()
    }

    fn unknown(&self, all: &[impl Named]) -> Option<&String> {
        let known = |name: &String| all.iter().any(|row| row.name() == name);
        self.only.iter().find(|name| !known(name))
    }
}
