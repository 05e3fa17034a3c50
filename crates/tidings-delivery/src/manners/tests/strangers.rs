//! Push services that anybody may name, and names that anybody may make up.

use super::*;

fn other(host: &str) -> Who {
    Who {
        group: PushServiceGroup::of_service(PushService::Other),
        origin: format!("https://{host}"),
        has_accepted: false,
        ..fcm()
    }
}

/// As after a restart: nothing is known of the origin, but that it accepted once.
fn accepted_before(host: &str) -> Who {
    Who {
        has_accepted: true,
        ..other(host)
    }
}

#[test]
fn a_made_up_host_alone_alerts_nobody() {
    let mut world = World::new();
    let made_up = Who {
        origin: "https://nowhere.notify.windows.com".to_owned(),
        group: PushServiceGroup::of_service(PushService::Wns),
        has_accepted: false,
        ..fcm()
    };
    let ask = |world: &mut World, endpoint| {
        if let Entry::Go(visit) = world.enter(&made_up.endpoint(endpoint)) {
            visit.ended(&VisitEnd::Unreachable, world.now);
        }
        world.pass(Duration::from_mins(1));
    };
    for endpoint in 0..19 {
        ask(&mut world, endpoint % 5);
    }
    assert_eq!(world.alerts(), []);
    for endpoint in 0..60 {
        ask(&mut world, endpoint);
    }
    let alerts = world.alerts();
    assert_eq!(
        alerts,
        [AlertKind::PushServiceUnreachable],
        "so many are real"
    );
}

#[test]
fn a_made_up_host_of_a_known_push_service_closes_nothing() {
    let mut world = World::new();
    let group = PushServiceGroup::of_service(PushService::Wns);
    let made_up = Who {
        origin: "https://nowhere.notify.windows.com".to_owned(),
        group: group.clone(),
        has_accepted: false,
        ..fcm()
    };
    for endpoint in 0..5 {
        world.send(&made_up.endpoint(endpoint), &VisitEnd::Unreachable);
    }
    assert!(world.waits(&made_up) > Duration::ZERO);
    assert_eq!(
        world.manners.may_claim(&group, Lane::Bulk, world.now),
        Ok(4)
    );
    let real = Who {
        origin: "https://db5p.notify.windows.com".to_owned(),
        has_accepted: true,
        ..made_up.clone()
    };
    world.send(&real, &answered(&ACCEPTED));
    world.pass(Duration::from_secs(1));
    for endpoint in 0..100 {
        if let Entry::Go(visit) = world.enter(&made_up.endpoint(endpoint)) {
            visit.ended(&VisitEnd::Unreachable, world.now);
        }
    }
    assert_eq!(
        world.manners.may_claim(&group, Lane::Bulk, world.now),
        Ok(4)
    );
}

#[test]
fn other_origins_share_little_and_the_hanging_one_is_not_waited_for() {
    let mut world = World::new();
    world.send(&other("hangs.example"), &answered(&ACCEPTED));
    let hanging = world.fill(&other("hangs.example"));
    assert_eq!(hanging.len(), 12);
    let direct = world.fill(&other("hangs.example").direct());
    assert_eq!(direct.len(), 4, "sixteen in all at one origin");
    assert!(matches!(
        world.enter(&other("hangs.example")),
        Entry::Full(Busy::Origin)
    ));
    world.pass(Duration::from_secs(1));
    assert_eq!(
        world.waits(&other("hangs.example")),
        Duration::from_secs(1),
        "it has not answered for so long"
    );
    world.send(&other("well.example"), &answered(&ACCEPTED));
    let mut visits = Vec::new();
    for number in 0..100 {
        let known = other(&format!("{number}.example"));
        if let Entry::Go(visit) = world.enter(&known) {
            visit.ended(&answered(&ACCEPTED), world.now);
        }
        visits.extend(world.fill(&known));
    }
    assert_eq!(visits.len() + hanging.len(), 256, "together");
    let remembered = |world: &World| {
        let manners = &world.manners;
        manners.with(PushService::Other, |it| it.origins_remembered())
    };
    let before = remembered(&world);
    assert!(matches!(
        world.enter(&other("new.example")),
        Entry::Full(Busy::Everybody)
    ));
    assert_eq!(
        remembered(&world),
        before,
        "who cannot begin takes nobody's place"
    );
    assert_eq!(world.fill(&fcm()).len(), 64, "known ones have their own");
}

#[test]
fn a_strangers_new_origin_gets_little_until_it_has_answered() {
    let world = World::new();
    let new = other("new.example");
    let bulk = world.fill(&new);
    let direct = world.fill(&new.direct());
    assert_eq!((bulk.len(), direct.len()), (2, 1));
    assert!(matches!(world.enter(&new), Entry::Full(_)));
    drop(direct);
    for visit in bulk {
        visit.ended(&answered(&ACCEPTED), world.now);
    }
    assert_eq!(world.fill(&new).len(), 12);
}

#[test]
fn a_slow_stranger_does_not_make_the_others_room_small() {
    let world = World::new();
    let limit = || world.metrics.limit(PushService::Other, Lane::Bulk);
    assert_eq!(limit(), 256, "from the beginning");
    let slow = Answer::SlowDown { retry_after: None };
    for number in 0..300 {
        let who = other(&format!("{number}.example"));
        let latency = Duration::from_millis(if number % 2 == 0 { 20_000 } else { 50 });
        world.send(&who, &answered_after(&slow, latency));
    }
    assert_eq!(limit(), 256);
}

#[test]
fn a_slow_stranger_has_little_room_until_it_was_quick_often() {
    let world = World::new();
    let slow = other("slow.example");
    let (quick_is, slow_is) = (Duration::from_secs(2), Duration::from_millis(2001));
    world.send(&slow, &answered_after(&ACCEPTED, quick_is));
    let mut begun = world.fill(&slow);
    assert_eq!(begun.len(), 12);
    let mut end_one = || {
        let one = begun.pop().unwrap();
        one.ended(&answered_after(&ACCEPTED, slow_is), world.now);
    };
    end_one();
    assert_eq!(world.fill(&slow).len(), 1, "one that is slow says little");
    end_one();
    assert_eq!(world.fill(&slow.direct()).len(), 0, "it has more already");
    let names = (0..100).map(|it| other(&format!("{it}.hangs.example")));
    let hanging: Vec<_> = names.flat_map(|who| world.fill(&who)).collect();
    assert_eq!(begun.len() + hanging.len(), 64, "they share a quarter");
    drop((begun, hanging));
    assert_eq!(world.fill(&slow).len(), 2);
    for _ in 0..31 {
        world.send(&slow, &answered(&ACCEPTED));
        assert_eq!(world.fill(&slow).len(), 2, "few that are quick say little");
    }
    world.send(&slow, &answered(&ACCEPTED));
    assert_eq!(world.fill(&slow).len(), 12);
    for _ in 0..10 {
        world.send(&slow, &answered_after(&ACCEPTED, slow_is));
        for _ in 0..16 {
            world.send(&slow, &answered(&ACCEPTED));
        }
    }
    assert_eq!(
        world.fill(&slow).len(),
        12,
        "now and then one is slow anywhere"
    );
}

#[test]
fn a_stranger_that_leaves_much_unanswered_for_long_is_slow() {
    let world = World::new();
    let shaky = other("shaky.example");
    world.send(&shaky, &answered(&ACCEPTED));
    world.send(
        &shaky,
        &VisitEnd::Unanswered {
            after: Duration::ZERO,
        },
    );
    assert_eq!(world.fill(&shaky).len(), 12, "a connection has broken");
    for _ in 0..2 {
        let after = Duration::from_secs(30);
        world.send(&shaky, &VisitEnd::Unanswered { after });
    }
    world.send(&shaky, &answered(&ACCEPTED));
    assert_eq!(world.fill(&shaky).len(), 2);
}

#[test]
fn once_half_the_room_is_taken_strangers_get_little_more_each() {
    let world = World::new();
    let fill = |host: &str| world.fill(&accepted_before(host));
    let taken: Vec<_> = (0..11)
        .map(|it| fill(&format!("{it}.slow.example")))
        .collect();
    let each: Vec<_> = taken.iter().map(Vec::len).collect();
    assert_eq!(each, [12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 8]);
    let late = fill("late.example");
    assert_eq!(late.len(), 2);
    let direct = world.fill(&accepted_before("late.example").direct());
    assert_eq!(direct.len(), 14, "direct messages are few");
    drop(taken);
    assert_eq!(fill("well.example").len(), 12);
}

#[test]
fn what_strangers_push_services_say_is_between_them_and_their_subscriptions() {
    let mut world = World::new();
    let bad = other("bad.example");
    for answer in [
        Answer::KeyRefused,
        Answer::SlowDown { retry_after: None },
        Answer::KeyRefused,
    ] {
        for endpoint in 0..300 {
            if let Entry::Go(visit) = world.enter(&bad.endpoint(endpoint)) {
                visit.ended(&answered(&answer), world.now);
            }
        }
        world.pass(Duration::from_millis(1));
    }
    assert!(matches!(world.enter(&bad), Entry::Later(_)));
    assert_eq!(world.alerts(), []);
    for endpoint in 0..100 {
        world.send(
            &other("good.example").endpoint(endpoint),
            &answered(&ACCEPTED),
        );
    }
    let group = bad.group;
    assert_eq!(
        world.manners.may_claim(&group, Lane::Bulk, world.now),
        Ok(4)
    );
}

#[test]
fn origins_without_end_are_not_remembered_without_end() {
    let mut world = World::new();
    let down = accepted_before("down.example");
    for _ in 0..5 {
        world.send(&down, &VisitEnd::Unreachable);
    }
    for number in 0..5000 {
        world.pass(Duration::from_millis(1));
        world.send(&other(&format!("{number}.example")), &answered(&ACCEPTED));
    }
    let remembered = world
        .manners
        .with(PushService::Other, |it| it.origins_remembered());
    assert_eq!(remembered, 1024);
    // The probe that is due by now fails, and it is left alone again: it was not forgotten.
    world.send(&down, &VisitEnd::Unreachable);
    assert!(world.waits(&down) > Duration::ZERO);
}

#[test]
fn who_has_answered_is_not_forgotten_for_who_never_did() {
    let mut world = World::new();
    let known = other("known.example");
    world.send(&known, &answered(&ACCEPTED));
    for number in 0..1100 {
        let dead = other(&format!("{number}.dead.example"));
        for endpoint in 0..5 {
            world.send(&dead.endpoint(endpoint), &VisitEnd::Unreachable);
        }
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(world.fill(&known).len(), 12);
}

#[test]
fn a_strangers_subscriptions_among_good_ones_change_nothing() {
    let world = World::new();
    for number in 0..1000 {
        let strange = number % 2 == 0;
        let answer = if strange {
            Answer::KeyRefused
        } else {
            ACCEPTED
        };
        world.send(&fcm().endpoint(number), &answered(&answer));
    }
    // Even all of them in a row, after good ones.
    for number in 0..150 {
        world.send(
            &fcm().endpoint(5000 + number),
            &answered(&Answer::KeyRefused),
        );
    }
    assert_eq!(world.alerts(), []);
}

#[test]
fn a_made_up_host_does_not_hide_that_the_real_one_is_down() {
    let mut world = World::new();
    let real = Who {
        origin: "https://updates.push.services.mozilla.com".to_owned(),
        group: PushServiceGroup::of_service(PushService::Mozilla),
        ..fcm()
    };
    let made_up = Who {
        origin: "https://nowhere.push.services.mozilla.com".to_owned(),
        has_accepted: false,
        ..real.clone()
    };
    for _ in 0..12 {
        for who in [&real, &made_up] {
            if let Entry::Go(visit) = world.enter(who) {
                visit.ended(&VisitEnd::Unreachable, world.now);
            }
        }
        world.pass(Duration::from_secs(10));
    }
    let unreachable = [AlertKind::PushServiceUnreachable];
    assert_eq!(world.alerts(), unreachable);
}

#[test]
fn many_names_of_one_server_that_hangs_leave_room_for_who_has_answered() {
    let mut world = World::new();
    let known = other("known.example");
    world.send(&known, &answered(&ACCEPTED));
    let names: Vec<_> = (0..100)
        .map(|it| other(&format!("{it}.hangs.example")))
        .collect();
    let mut hanging: Vec<_> = names.iter().flat_map(|who| world.fill(who)).collect();
    assert_eq!(hanging.len(), 64, "a quarter of 256");
    assert_eq!(world.fill(&known).len(), 12);
    let late = other("late.example");
    world.pass(Duration::from_secs(2));
    assert!(matches!(world.enter(&late), Entry::Full(Busy::Origin)));
    let full = |who: &Who| {
        world.manners.with(PushService::Other, |it| {
            it.is_full(&who.visitor(), Busy::Origin, &world.manners.policy)
        })
    };
    assert!(full(&late));
    let proven = accepted_before("proven.example");
    assert!(!full(&proven), "it is no new name");
    assert_eq!(world.fill(&proven).len(), 12);
    assert_eq!(world.fill(&late.direct()).len(), 3, "direct ones have more");
    // Both of one name: the first answer proves it, and the other one counts no more either.
    let second = hanging.pop().unwrap();
    hanging
        .pop()
        .unwrap()
        .ended(&answered(&ACCEPTED), world.now);
    assert!(!full(&late));
    let visits = world.fill(&late);
    assert_eq!(visits.len(), 2);
    second.ended(
        &VisitEnd::Unanswered {
            after: Duration::ZERO,
        },
        world.now,
    );
    assert!(
        full(&other("later.example")),
        "and is not counted off twice"
    );
}
