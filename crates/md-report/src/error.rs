use md_io::extxyz::XyzError;

/// Error of creating a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A template is faulty.
    #[error("the report cannot be laid out: {0:#}")]
    Template(#[from] minijinja::Error),
    /// Data cannot be embedded.
    #[error("the report cannot hold its data: {0}")]
    Data(#[from] serde_json::Error),
    /// Text cannot be represented in XML.
    #[error("the test cases cannot be written as XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// Frames cannot be read.
    #[error(transparent)]
    Frames(#[from] XyzError),
    /// A frame lacks its origin.
    #[error("{path}: frame {frame}: {problem}")]
    Frame {
        /// The file.
        path: String,
        /// Number of the frame, from 0.
        frame: usize,
        /// What is missing or invalid.
        problem: String,
    },
}
