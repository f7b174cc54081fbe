//! What is measured, as it is printed and written.

/// Figures of one kind, measured one after the other.
pub struct Row {
    pub name: &'static str,
    pub figures: Vec<Figure>,
    /// Share of the processors' time that other programs took meanwhile.
    pub taken_by_others: f64,
}

/// One quantity, for each pairing of programs.
pub struct Figure {
    pub what: String,
    /// What muxcool has to reach, in words.
    pub target: &'static str,
    pub cells: Vec<Cell>,
}

pub struct Cell {
    /// The programs.
    pub who: String,
    /// What was read, or why nothing was.
    pub reading: Result<Reading, String>,
    pub peaks: Vec<Peak>,
}

/// Most memory that a program had resident at a time.
#[derive(Clone, Debug)]
pub struct Peak {
    pub role: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub text: String,
    /// Whether the target is met; `None` where it says nothing, as of V2Ray.
    pub met: Option<bool>,
    /// The numbers of the text, by name, with the unit in the name.
    pub values: Vec<(&'static str, f64)>,
}

impl Reading {
    pub fn new(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    pub fn value(mut self, name: &'static str, value: f64) -> Self {
        self.values.push((name, value));
        self
    }

    pub fn met(mut self, met: impl Into<Option<bool>>) -> Self {
        self.met = met.into();
        self
    }
}
