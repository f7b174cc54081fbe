//! The cost of streams as a drawing.

use std::{error::Error, io, ops::Range, path::Path};

use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoLogRange, LineSeries,
        RGBColor, SVGBackend, SeriesLabelPosition, TRANSPARENT, WHITE,
    },
};

use crate::{
    growth::{Sample, Step},
    peer::Peer,
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Pixels.
const SIZE: (u32, u32) = (960, 640);
const MARGIN: u32 = 14;
const LABELS: (u32, u32) = (36, 56);

const FONT: &str = "sans-serif";

/// Of a panel's name, and of everything else.
const FONT_SIZES: (u32, u32) = (17, 13);

/// Space above the highest point, as a share of it.
const HEADROOM: f64 = 1.3;

struct Panel {
    name: &'static str,
    of: fn(&Sample) -> f64,
    /// Where no line is likely to be.
    legend: SeriesLabelPosition,
}

const PANELS: [Panel; 4] = [
    Panel {
        name: "all streams together, MB/s",
        of: |sample| sample.rate,
        legend: SeriesLabelPosition::UpperRight,
    },
    Panel {
        name: "processor time, s/GB",
        of: |sample| sample.processor,
        legend: SeriesLabelPosition::UpperLeft,
    },
    Panel {
        name: "memory of an idle stream, KiB",
        of: |sample| sample.idle,
        legend: SeriesLabelPosition::UpperRight,
    },
    Panel {
        name: "ping beside all streams, p50, ms",
        of: |sample| sample.ping,
        legend: SeriesLabelPosition::UpperLeft,
    },
];

/// Writes an SVG with a panel for each kind of cost.
pub fn write(path: &Path, steps: &[Step]) -> io::Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    draw(&root, steps).map_err(|error| io::Error::other(error.to_string()))
}

fn draw(root: &Area, steps: &[Step]) -> Drawn {
    root.fill(&WHITE)?;
    for (panel, area) in PANELS.iter().zip(root.split_evenly((2, 2))) {
        draw_panel(&area, panel, steps)?;
    }
    Ok(root.present()?)
}

fn draw_panel(area: &Area, panel: &Panel, steps: &[Step]) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .caption(panel.name, (FONT, FONT_SIZES.0))
        .x_label_area_size(LABELS.0)
        .y_label_area_size(LABELS.1)
        .build_cartesian_2d(streams(steps).log_scale(), heights(panel, steps))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("concurrent streams")
        .x_label_formatter(&|streams| format!("{streams:.0}"))
        .y_label_formatter(&|height| format!("{}", (height * 100.0).round() / 100.0))
        .label_style((FONT, FONT_SIZES.1))
        .draw()?;
    for peer in peers(steps) {
        let (points, color) = (points(panel, steps, peer), color(peer));
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(peer.to_string())
            .legend(move |at| Circle::new(at, 4, color.filled()));
        let dot = |point| Circle::new(point, 3, color.filled());
        chart.draw_series(points.into_iter().map(dot))?;
    }
    chart
        .configure_series_labels()
        .position(panel.legend.clone())
        .background_style(WHITE)
        .label_font((FONT, FONT_SIZES.1))
        .draw()?;
    Ok(())
}

fn peers(steps: &[Step]) -> Vec<Peer> {
    let mut peers: Vec<Peer> = steps.iter().map(|step| step.peer).collect();
    peers.dedup();
    peers
}

fn points(panel: &Panel, steps: &[Step], peer: Peer) -> Vec<(f64, f64)> {
    let steps = steps.iter().filter(|step| step.peer == peer);
    let point = |step: &Step| Some((step.streams as f64, step.median(panel.of)?));
    steps.filter_map(point).collect()
}

fn streams(steps: &[Step]) -> Range<f64> {
    let streams = steps.iter().map(|step| step.streams as f64);
    let most = streams.clone().fold(2.0, f64::max);
    streams.fold(most, f64::min)..most
}

fn heights(panel: &Panel, steps: &[Step]) -> Range<f64> {
    let heights = steps.iter().filter_map(|step| step.median(panel.of));
    0.0..heights.fold(f64::MIN_POSITIVE, f64::max) * HEADROOM
}

fn color(peer: Peer) -> RGBColor {
    match peer {
        Peer::Muxcool => RGBColor(0, 92, 175),
        Peer::V2ray => RGBColor(203, 74, 32),
        Peer::Relays | Peer::Rathole => RGBColor(140, 140, 140),
    }
}
