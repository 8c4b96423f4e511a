//! Names of the SDK that more than one of its crates has.

/// What every client fails with.
pub(crate) type SdkError<E> = aws_sdk_autoscaling::error::SdkError<E>;
