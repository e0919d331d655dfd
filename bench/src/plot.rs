//! The plot: CPU time a request, at 32 connections, of everybody who was measured.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Outcome;
use crate::edge::What;
use crate::report::Results;
use crate::tokens::Who;
use crate::verify::Alg;

const SIZE: (u32, u32) = (960, 640);
/// Ours, the stores behind ours, and the others.
const OURS: RGBColor = RGBColor(31, 119, 180);
const STORES: RGBColor = RGBColor(158, 202, 225);
const OTHERS: RGBColor = RGBColor(150, 150, 150);
const CONNECTIONS: usize = 32;
/// Where the bars begin, and what their figures need at the right.
const LEFT: i32 = 330;
const RIGHT: i32 = 70;
const BAR: i32 = 20;

/// A bar: its parts lie one after another.
struct Bar {
    label: String,
    parts: Vec<(f64, RGBColor)>,
}

/// Draws it.
pub(crate) fn draw(results: &Results, path: &Path) -> Outcome<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!(
        "CPU-µs a request, {CONNECTIONS} connections ({})",
        results.facts.date
    );
    area.draw(&Text::new(title, (20, 16), ("sans-serif", 20)))?;
    let token_bars = [Alg::EdDSA, Alg::ES256]
        .into_iter()
        .flat_map(|alg| tokens(results, alg));
    let mut top = 56;
    for (heading, bars) in [
        (
            "POST /token; pale: Postgres and Redis",
            token_bars.collect::<Vec<_>>(),
        ),
        ("In workerd", edge(results)),
    ] {
        area.draw(&Text::new(heading, (20, top), ("sans-serif", 16)))?;
        top += 28;
        let all = bars.iter().map(Bar::length);
        let longest = all.fold(1.0, f64::max);
        let scale = f64::from(SIZE.0 as i32 - LEFT - RIGHT) / longest;
        for bar in &bars {
            bar.draw(&area, top, scale)?;
            top += BAR + 8;
        }
        top += 24;
    }
    area.present()?;
    Ok(())
}

impl Bar {
    fn length(&self) -> f64 {
        self.parts.iter().map(|(length, _)| length).sum()
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        top: i32,
        scale: f64,
    ) -> Outcome<()> {
        let to_the_left = Pos::new(HPos::Right, VPos::Center);
        let label = ("sans-serif", 14).into_text_style(area).pos(to_the_left);
        let middle = top + BAR / 2;
        area.draw(&Text::new(self.label.clone(), (LEFT - 8, middle), label))?;
        let mut from = 0.0;
        for (length, color) in &self.parts {
            let x = |at: f64| LEFT + (at * scale).round() as i32;
            let corners = [(x(from), top), (x(from + length), top + BAR)];
            area.draw(&Rectangle::new(corners, color.filled()))?;
            from += length;
        }
        let figures = self.parts.iter().map(|(length, _)| format!("{length:.0}"));
        let figures = figures.collect::<Vec<_>>().join(" + ");
        let end = LEFT + (from * scale).round() as i32 + 6;
        let at_the_middle = Pos::new(HPos::Left, VPos::Center);
        let figure = ("sans-serif", 13).into_text_style(area).pos(at_the_middle);
        area.draw(&Text::new(figures, (end, middle), figure))?;
        Ok(())
    }
}

fn tokens(results: &Results, alg: Alg) -> Vec<Bar> {
    let at_32 = results
        .tokens
        .iter()
        .filter(|row| row.alg == alg && row.connections == CONNECTIONS);
    at_32
        .map(|row| {
            let (name, color) = match row.who {
                Who::Service => ("AgentIdP", OURS),
                Who::OidcProvider => ("oidc-provider", OTHERS),
                Who::Ceiling => ("the ceiling", OTHERS),
            };
            let colors = std::iter::once(color).chain(std::iter::repeat(STORES));
            Bar {
                label: format!("{name}, {}", alg.name()),
                parts: row.measured.cpu_us.iter().copied().zip(colors).collect(),
            }
        })
        .collect()
}

fn edge(results: &Results) -> Vec<Bar> {
    let rows = results.edge.iter();
    rows.map(|row| {
        let (label, color) = match row.what {
            What::EmptyRust => ("an empty Worker in Rust", OTHERS),
            What::EmptyScript => ("an empty Worker in JavaScript", OTHERS),
            What::Warm => ("AgentIdP, tokens seen before", OURS),
            What::Unseen => ("AgentIdP, each token new", OURS),
            What::Forwarded => ("AgentIdP, forwarding", OURS),
            What::Jose => ("jose", OTHERS),
            What::Tsndr => ("@tsndr/cloudflare-worker-jwt, ES256", OTHERS),
        };
        Bar {
            label: label.to_owned(),
            parts: row
                .measured
                .cpu_us
                .iter()
                .map(|cost| (*cost, color))
                .collect(),
        }
    })
    .collect()
}
