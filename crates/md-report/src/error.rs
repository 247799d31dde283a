use md_io::extxyz::XyzError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A fault of the templates.
    #[error("the report cannot be laid out: {0:#}")]
    Template(#[from] minijinja::Error),
    /// Data that cannot be embedded.
    #[error("the report cannot hold its data: {0}")]
    Data(#[from] serde_json::Error),
    /// Text that XML cannot hold.
    #[error("the test cases cannot be written as XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// Frames that cannot be read.
    #[error(transparent)]
    Frames(#[from] XyzError),
    /// A frame that does not say where it comes from.
    #[error("{path}: frame {frame}: {problem}")]
    Frame {
        /// The file.
        path: String,
        /// Number of the frame, from 0.
        frame: usize,
        /// What is missing or wrong.
        problem: String,
    },
}
