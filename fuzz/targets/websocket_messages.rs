//! What a user agent says to the sandbox after its hello, one message in each line.

#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidings_sandbox::fuzzing::Conversation;

fuzz_target!(|input: &str| {
    let conversation = Conversation::of(input);

    // What lives is what was registered last under each name, and not unregistered since.
    let mut expected = HashMap::new();
    for answer in &conversation.answers {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        let channel = answer["channelID"].as_str().map(str::to_owned);
        match answer["messageType"].as_str() {
            Some("register") if answer["status"] == 200 => {
                let endpoint = answer["pushEndpoint"].as_str().expect("an endpoint");
                expected.insert(channel.expect("a channel"), endpoint.to_owned());
            }
            Some("register") => assert_eq!(answer["status"], 400, "{answer}"),
            Some("unregister") => drop(expected.remove(&channel.expect("a channel"))),
            _ => assert_eq!(answer, serde_json::json!({})),
        }
    }
    let living: HashMap<_, _> = conversation
        .living
        .iter()
        .map(|(endpoint, channel)| (channel.clone(), endpoint.clone()))
        .collect();
    assert_eq!(living, expected);
    assert_eq!(living.len(), conversation.living.len());
    for channel in &conversation.waiting {
        assert!(
            living.contains_key(channel),
            "mail for {channel}, which ended"
        );
    }
});
