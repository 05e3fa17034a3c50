//! Settings that bound how often anybody may ask.

use clap::Args;
use serde::Deserialize;
use tidings_http::RateLimitSettings;

/// Flags and environment. Each limit may be used up at once; 0 means any number.
#[derive(Args, Clone, Default)]
pub(super) struct LimitArgs {
    /// Requests of pages from one address in a minute; 0 = any number [default: 600]
    #[arg(
        long = "limits-page-requests-per-minute",
        env = "TIDINGS_LIMITS_PAGE_REQUESTS_PER_MINUTE",
        value_name = "NUMBER"
    )]
    page_requests_per_minute: Option<u32>,

    /// Reports of receipts from one address in a minute; 0 = any number [default: 3000]
    #[arg(
        long = "limits-receipt-requests-per-minute",
        env = "TIDINGS_LIMITS_RECEIPT_REQUESTS_PER_MINUTE",
        value_name = "NUMBER"
    )]
    receipt_requests_per_minute: Option<u32>,

    /// Subscriptions that pages at one address may add in an hour; 0 = any number [default: 200]
    #[arg(
        long = "limits-new-subscriptions-per-hour",
        env = "TIDINGS_LIMITS_NEW_SUBSCRIPTIONS_PER_HOUR",
        value_name = "NUMBER"
    )]
    new_subscriptions_per_hour: Option<u32>,

    /// Wrong or missing API tokens from one address in a minute; 0 = any number [default: 30]
    #[arg(
        long = "limits-failed-authentications-per-minute",
        env = "TIDINGS_LIMITS_FAILED_AUTHENTICATIONS_PER_MINUTE",
        value_name = "NUMBER"
    )]
    failed_authentications_per_minute: Option<u32>,

    /// Requests with one API token in a second; 0 = any number [default: 1000]
    #[arg(
        long = "limits-api-requests-per-second",
        env = "TIDINGS_LIMITS_API_REQUESTS_PER_SECOND",
        value_name = "NUMBER"
    )]
    api_requests_per_second: Option<u32>,
}

/// The table `limits` of the settings file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitTable {
    page_requests_per_minute: Option<u32>,
    receipt_requests_per_minute: Option<u32>,
    new_subscriptions_per_hour: Option<u32>,
    failed_authentications_per_minute: Option<u32>,
    api_requests_per_second: Option<u32>,
}

pub(super) fn merge(args: &LimitArgs, file: &LimitTable) -> RateLimitSettings {
    let defaults = RateLimitSettings::default();
    RateLimitSettings {
        page_requests_per_minute: args
            .page_requests_per_minute
            .or(file.page_requests_per_minute)
            .unwrap_or(defaults.page_requests_per_minute),
        receipt_requests_per_minute: args
            .receipt_requests_per_minute
            .or(file.receipt_requests_per_minute)
            .unwrap_or(defaults.receipt_requests_per_minute),
        new_subscriptions_per_hour: args
            .new_subscriptions_per_hour
            .or(file.new_subscriptions_per_hour)
            .unwrap_or(defaults.new_subscriptions_per_hour),
        failed_authentications_per_minute: args
            .failed_authentications_per_minute
            .or(file.failed_authentications_per_minute)
            .unwrap_or(defaults.failed_authentications_per_minute),
        api_requests_per_second: args
            .api_requests_per_second
            .or(file.api_requests_per_second)
            .unwrap_or(defaults.api_requests_per_second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_comes_from_its_flag_else_from_its_key() {
        let file: LimitTable = toml::from_str(
            "page_requests_per_minute = 1\nreceipt_requests_per_minute = 2\n\
             new_subscriptions_per_hour = 3\nfailed_authentications_per_minute = 4\n\
             api_requests_per_second = 5",
        )
        .unwrap();
        let expected = |numbers: [u32; 5]| {
            let [page, receipt, new, failed, api] = numbers;
            RateLimitSettings {
                page_requests_per_minute: page,
                receipt_requests_per_minute: receipt,
                new_subscriptions_per_hour: new,
                failed_authentications_per_minute: failed,
                api_requests_per_second: api,
            }
        };
        let from_file = merge(&LimitArgs::default(), &file);
        assert_eq!(from_file, expected([1, 2, 3, 4, 5]));
        let args = LimitArgs {
            page_requests_per_minute: Some(6),
            receipt_requests_per_minute: Some(7),
            new_subscriptions_per_hour: Some(8),
            failed_authentications_per_minute: Some(9),
            api_requests_per_second: Some(0),
        };
        assert_eq!(merge(&args, &file), expected([6, 7, 8, 9, 0]));
    }
}
