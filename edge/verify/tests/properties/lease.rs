//! The lease protocol over schedules of loss, repetition, reordering and restarts:
//! two places with two isolates each, one client, one tenant, and a ledger as the
//! core keeps it.

use std::collections::HashMap;

use agentidp_verify::lease::{Figure, Lease, Question, Refusal, Request, Settlement, share};
use agentidp_verify::limit::Window;
use agentidp_verify::permits::Permits;
use agentidp_verify::place::{Need, Place};
use proptest::prelude::*;

const PLACES: usize = 2;
const ISOLATES: usize = 2;
const MINUTE_MS: u64 = 60_000;

/// What may happen next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Event {
    Call {
        place: usize,
        isolate: usize,
    },
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    RestartPlace(usize),
    RestartIsolate(usize, usize),
    NextWindow,
    /// A downgrade, or a suspension that was lifted.
    Cap,
    Alarm(usize),
    GiveUp(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        40 => (0..PLACES, 0..ISOLATES).prop_map(|(place, isolate)| Event::Call { place, isolate }),
        30 => any::<usize>().prop_map(Event::Deliver),
        4 => any::<usize>().prop_map(Event::Repeat),
        4 => any::<usize>().prop_map(Event::Lose),
        2 => (0..PLACES).prop_map(Event::RestartPlace),
        2 => (0..PLACES, 0..ISOLATES).prop_map(|(p, i)| Event::RestartIsolate(p, i)),
        2 => Just(Event::NextWindow),
        2 => Just(Event::Cap),
        3 => (0..PLACES).prop_map(Event::Alarm),
        3 => (0..PLACES).prop_map(Event::GiveUp),
    ];
    prop::collection::vec(event, 1..400)
}

/// The core: debits, rows of leases, settlements.
#[derive(Default)]
struct Ledger {
    minutes: HashMap<u64, u64>,
    day: u64,
    /// By place and id: what was granted, in which window, and whether it is settled.
    rows: HashMap<(usize, String), (u64, u64, bool)>,
}

impl Ledger {
    fn grant(
        &mut self,
        place: usize,
        question: &Question,
        world: &Limits,
        now_s: u64,
    ) -> Option<Lease> {
        let key = (place, question.lease_id.clone());
        if self.rows.contains_key(&key) {
            // Repeated, or settled before it came.
            return None;
        }
        let minute = self.minutes.entry(question.window).or_default();
        let minute_left = question.limit.map(|limit| limit.saturating_sub(*minute));
        let day_left = world.day.saturating_sub(self.day);
        let wanted = share(minute_left, question.wanted);
        let granted = share(Some(day_left), wanted);
        *minute += granted;
        self.day += granted;
        self.rows
            .insert(key, (granted, question.window, granted == 0));
        let figure = |limit, debited| Figure {
            limit,
            debited,
            ends_ms: 0,
        };
        Some(Lease {
            iss: String::new(),
            aud: place.to_string(),
            iat: now_s,
            exp: 0,
            question: question.clone(),
            window_ms: MINUTE_MS,
            granted,
            minute: question.limit.map(|limit| figure(limit, *minute)),
            day: Some(figure(world.day, self.day)),
            refused: (granted == 0).then_some(Refusal::Minute),
        })
    }

    fn settle(&mut self, place: usize, settlement: &Settlement, now: Window) {
        let key = (place, settlement.lease_id.clone());
        match self.rows.get_mut(&key) {
            // A question that comes after this is refused.
            None => drop(self.rows.insert(key, (0, 0, true))),
            Some((granted, window, settled)) if !*settled => {
                *settled = true;
                assert!(settlement.used <= *granted);
                let unused = *granted - settlement.used;
                self.day -= unused;
                if *window == now.index {
                    *self.minutes.entry(*window).or_default() -= unused;
                }
            }
            Some(_) => {}
        }
    }
}

struct Limits {
    minute: Option<u64>,
    day: u64,
}

enum Message {
    ToCore(usize, Request),
    ToPlace(usize, Option<Lease>, Vec<Settlement>),
}

/// A place as it is in memory and as it was written down last.
#[derive(Default)]
struct Site {
    place: Place,
    disk: Place,
    isolates: [Option<Permits>; ISOLATES],
    named: usize,
    /// How many calls it has handed out.
    handed: u64,
}

struct World {
    limits: Limits,
    ledger: Ledger,
    sites: [Site; PLACES],
    messages: Vec<Message>,
    now_s: u64,
    dead_until: Option<u64>,
    admitted: HashMap<u64, u64>,
}

impl World {
    fn window(&self) -> Window {
        Window::at(self.now_s * 1_000, MINUTE_MS)
    }

    fn need(&self, wanted: u64) -> Need {
        Need {
            client_id: "client".into(),
            org_id: "org".into(),
            window: self.window(),
            limit: self.limits.minute,
            dead_until: self.dead_until,
            wanted,
        }
    }

    fn call(&mut self, at: usize, isolate: usize) {
        let (need, window) = (self.need(3), self.window());
        let (limit, dead_until) = (need.limit, need.dead_until);
        let site = &mut self.sites[at];
        let own = &mut site.isolates[isolate];
        if !own
            .as_ref()
            .is_some_and(|own| own.allow(window, limit, dead_until))
        {
            match site.place.hand_out(&need) {
                // Written down, then handed out.
                Some(block) => {
                    site.disk = site.place.clone();
                    site.handed += block.left;
                    match own {
                        Some(own) => own.add(block, dead_until),
                        None => *own = Some(block),
                    }
                }
                None => {
                    site.named += 1;
                    let question = site.place.ask(&need, format!("{at}-{}", site.named));
                    site.disk = site.place.clone();
                    let settle = site.place.to_settle(2).to_vec();
                    let request = Request {
                        question: Some(question),
                        settle,
                    };
                    self.messages.push(Message::ToCore(at, request));
                    return;
                }
            }
        }
        let own = own
            .as_mut()
            .filter(|own| own.allow(window, limit, dead_until));
        if own.and_then(Permits::spend).is_some() {
            *self.admitted.entry(window.index).or_default() += 1;
        }
    }

    fn deliver(&mut self, at: usize, keep: bool) {
        if self.messages.is_empty() {
            return;
        }
        let at = at % self.messages.len();
        let message = if keep {
            match &self.messages[at] {
                Message::ToCore(place, request) => Message::ToCore(*place, request.clone()),
                Message::ToPlace(place, lease, settled) => {
                    Message::ToPlace(*place, lease.clone(), settled.clone())
                }
            }
        } else {
            self.messages.swap_remove(at)
        };
        match message {
            Message::ToCore(place, request) => {
                let window = self.window();
                for settlement in &request.settle {
                    self.ledger.settle(place, settlement, window);
                }
                let granted = request.question.and_then(|question| {
                    self.ledger
                        .grant(place, &question, &self.limits, self.now_s)
                });
                self.messages
                    .push(Message::ToPlace(place, granted, request.settle));
            }
            Message::ToPlace(place, lease, settled) => {
                let site = &mut self.sites[place];
                site.place.settled(&settled);
                if let Some(lease) = lease {
                    site.place.take(lease);
                }
                site.disk = site.place.clone();
            }
        }
    }

    fn settle(&mut self, at: usize) {
        let site = &mut self.sites[at];
        site.place.close_ended(self.now_s * 1_000);
        site.disk = site.place.clone();
        let settle = site.place.to_settle(usize::MAX).to_vec();
        if !settle.is_empty() {
            let request = Request {
                question: None,
                settle,
            };
            self.messages.push(Message::ToCore(at, request));
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Call { place, isolate } => self.call(place, isolate),
            Event::Deliver(at) => self.deliver(at, false),
            Event::Repeat(at) => self.deliver(at, true),
            Event::Lose(at) if !self.messages.is_empty() => {
                self.messages.swap_remove(at % self.messages.len());
            }
            Event::Lose(_) => {}
            Event::RestartPlace(place) => {
                let site = &mut self.sites[place];
                site.place = site.disk.clone().resume();
            }
            Event::RestartIsolate(place, isolate) => self.sites[place].isolates[isolate] = None,
            Event::NextWindow => self.now_s = (self.now_s / 60 + 1) * 60,
            Event::Cap => {
                self.dead_until = Some(self.now_s);
                self.now_s += 1;
            }
            Event::Alarm(place) => self.settle(place),
            Event::GiveUp(place) => self.sites[place].place.lose(),
        }
    }

    /// How many calls places have handed out so far.
    fn handed(&self) -> u64 {
        self.sites.iter().map(|site| site.handed).sum()
    }

    fn total(&self) -> u64 {
        self.admitted.values().sum()
    }

    /// What isolates were given and have not spent, in their last blocks.
    fn unspent(&self) -> u64 {
        let blocks = self
            .sites
            .iter()
            .flat_map(|site| site.isolates.iter().flatten());
        blocks.map(|block| block.left).sum()
    }
}

fn world(minute: Option<u64>, day: u64) -> World {
    World {
        limits: Limits { minute, day },
        ledger: Ledger::default(),
        sites: Default::default(),
        messages: Vec::new(),
        now_s: 600,
        dead_until: None,
        admitted: HashMap::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..super::config() })]

    #[test]
    fn no_schedule_admits_one_call_over_a_limit(
        events in events(),
        minute in prop::option::of(0..60u64),
        day in 0..150u64,
    ) {
        let mut world = world(minute, day);
        for event in &events {
            world.happen(event);
            let total = world.total();
            prop_assert!(total <= day, "the day");
            prop_assert!(total <= world.ledger.day, "a call that was not debited");
            for (window, admitted) in &world.admitted {
                prop_assert!(minute.is_none_or(|minute| *admitted <= minute), "window {window}");
            }
        }
    }

    #[test]
    fn once_all_is_settled_nothing_is_debited_but_what_isolates_were_given(
        events in events(),
        minute in 0..60u64,
        day in 0..150u64,
    ) {
        let mut world = world(Some(minute), day);
        // What an isolate loses, by its end or by another window, stays debited.
        let mut lost = 0;
        for event in &events {
            let before = (world.unspent(), world.total());
            let handed = world.handed();
            world.happen(event);
            let given = world.handed() - handed;
            lost += before.0 + given - (world.unspent() + (world.total() - before.1));
        }
        world.now_s += 600;
        for _ in 0..3 {
            for place in 0..PLACES {
                world.sites[place].place.lose();
                world.settle(place);
            }
            while !world.messages.is_empty() {
                world.deliver(0, false);
            }
        }
        prop_assert!(world.sites.iter().all(|site| site.place.is_idle()));
        prop_assert_eq!(world.ledger.day, world.total() + world.unspent() + lost);
    }

    #[test]
    fn without_loss_a_limit_admits_exactly_itself(minute in 0..200u64, isolates in 1..5usize) {
        let mut world = world(Some(minute), 10_000);
        for turn in 0..minute as usize * 8 + 100 {
            let at = turn % isolates;
            world.call(at / ISOLATES, at % ISOLATES);
            while !world.messages.is_empty() {
                world.deliver(0, false);
            }
        }
        prop_assert_eq!(world.total(), minute);
    }
}
