//! What the answers of AWS mean, sorted by code.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use refit_provider::{ErrorClass, ProviderError};

use crate::sdk::SdkError;

/// Whether a call that got no answer may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It reads: it can be made again.
    Reads,
    /// It writes: whether it took effect has to be looked at.
    Writes,
}

/// Codes of answers to calls that came too fast
/// ([EC2](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html),
/// [Auto Scaling](https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html)).
const THROTTLED: [&str; 7] = [
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of answers that another moment changes, and that say that nothing was done.
const TRANSIENT: [&str; 4] =
    ["ResourceContention", "ResourceInUse", "ScalingActivityInProgress", "ServiceUnavailable"];

/// Codes of answers to those who may not.
const REFUSED: [&str; 8] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
];

/// The error of a call, such as `autoscaling:SetDesiredCapacity`.
pub(crate) fn sorted<E>(action: &str, effect: Effect, error: &SdkError<E>) -> ProviderError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let lost = match effect {
        Effect::Reads => ErrorClass::Transient,
        Effect::Writes => ErrorClass::Unknown,
    };
    match error {
        SdkError::ServiceError(answer) => {
            let meta = answer.err();
            let code = meta.code().unwrap_or("no code");
            let said = meta.message().unwrap_or("no message");
            let status = answer.raw().status().as_u16();
            let class = class_of(code, status, lost);
            let text = if REFUSED.contains(&code) {
                format!("{action} is not allowed to refit: {code}: {said}")
            } else {
                format!("{action}: {code}: {said}")
            };
            ProviderError::new(class, text)
        }
        SdkError::ConstructionFailure(_) => {
            ProviderError::new(ErrorClass::Permanent, format!("{action}: {}", chain(error)))
        }
        SdkError::DispatchFailure(failure) => {
            // Without credentials nothing was sent. A connection that broke may have carried the
            // request to its end.
            let unsent = failure.is_user() || is_of_credentials(error);
            let class = if unsent { ErrorClass::Permanent } else { lost };
            ProviderError::new(class, format!("{action}: {}", chain(error)))
        }
        _ => ProviderError::new(lost, format!("{action}: {}", chain(error))),
    }
}

fn class_of(code: &str, status: u16, lost: ErrorClass) -> ErrorClass {
    if THROTTLED.contains(&code) {
        ErrorClass::Throttled
    } else if TRANSIENT.contains(&code) {
        ErrorClass::Transient
    } else if status >= 500 {
        lost
    } else {
        ErrorClass::Permanent
    }
}

/// Whether the service said no with this code.
pub(crate) fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E>, code: &str) -> bool {
    match error {
        SdkError::ServiceError(answer) => answer.err().code() == Some(code),
        _ => false,
    }
}

/// Whether there were no credentials, or none that could be used.
fn is_of_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(next) = cause {
        if next.is::<CredentialsError>() {
            return true;
        }
        cause = next.source();
    }
    false
}

/// An error and its causes, in one line, none of them twice.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_decides_and_a_lost_answer_of_a_write_is_unknown() {
        let reads = ErrorClass::Transient;
        let writes = ErrorClass::Unknown;
        assert_eq!(class_of("Throttling", 400, writes), ErrorClass::Throttled);
        assert_eq!(class_of("RequestLimitExceeded", 503, writes), ErrorClass::Throttled);
        assert_eq!(class_of("ResourceContention", 500, writes), ErrorClass::Transient);
        assert_eq!(class_of("InternalFailure", 500, writes), ErrorClass::Unknown);
        assert_eq!(class_of("InternalFailure", 500, reads), ErrorClass::Transient);
        assert_eq!(class_of("ValidationError", 400, writes), ErrorClass::Permanent);
        assert_eq!(class_of("AccessDenied", 403, reads), ErrorClass::Permanent);
    }
}
