//! Accuracy over labels: a line with error bars for each way of training.

use std::convert::Infallible;

use anyhow::{Context, Result, bail, ensure};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingErrorKind};

use super::{HAIR, INK, PALE_INK, WHITE, glyphs};

/// Drawn this many times as large, then made smaller: lines of the plotting library have jagged edges.
const FINE: u32 = 4;
const SIZE: (u32, u32) = (900, 560);
/// Of marks and bars.
const RADIUS: u32 = 5;

/// Told apart by people of every colour vision (Okabe and Ito, 2008).
const COLOURS: [[u8; 3]; 6] = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [230, 159, 0]];

/// A plot of shares over a logarithmic axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub title: String,
    pub x_label: String,
    /// What the shares are of; they are shown in percent.
    pub y_label: String,
    pub lines: Vec<Line>,
}

/// A line and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub name: String,
    /// In any order.
    pub points: Vec<Point>,
}

/// Mean and standard deviation of shares (0 to 1) at `x`, which is positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub mean: f64,
    pub deviation: f64,
}

impl Plot {
    /// Fails where there is no point, or one that has no place.
    pub fn draw(&self) -> Result<RgbImage> {
        for line in &self.lines {
            let sound = |p: &Point| p.x > 0.0 && p.x.is_finite() && p.mean.is_finite() && p.deviation >= 0.0 && p.deviation.is_finite();
            if let Some(point) = line.points.iter().find(|point| !sound(point)) {
                bail!("{}: {point:?} has no place in a plot with a logarithmic axis", line.name);
            }
        }
        let mut canvas = Canvas { picture: RgbImage::from_pixel(SIZE.0 * FINE, SIZE.1 * FINE, WHITE) };
        let top = self.heads(&mut canvas);
        self.chart(&mut canvas, top).context("the plot cannot be drawn")?;
        Ok(imageops::resize(&canvas.picture, SIZE.0, SIZE.1, FilterType::Triangle))
    }

    fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.lines.iter().flat_map(|line| line.points.iter().copied())
    }

    /// Title, legend and the label of the upward axis, above the chart. Returns where that begins.
    fn heads(&self, canvas: &mut Canvas) -> u32 {
        let left = 28.0;
        canvas.words(&glyphs::fit(&self.title, 24.0, SIZE.0 as f32 - 2.0 * left), (left, 18.0), 24.0, INK);
        let (mut x, mut y) = (left, 56.0);
        let most = SIZE.0 as f32 - 2.0 * left;
        for (line, colour) in self.lines.iter().zip(colours()) {
            let name = glyphs::fit(&line.name, 16.0, most - 34.0);
            let width = 34.0 + glyphs::width(&name, 16.0);
            if x > left && x - left + width > most {
                (x, y) = (left, y + 24.0);
            }
            canvas.block((x, y + 7.5), (26.0, 3.0), colour);
            canvas.disc((x + 13.0, y + 9.0), RADIUS as f32, colour);
            canvas.words(&name, (x + 34.0, y), 16.0, INK);
            x += width + 28.0;
        }
        canvas.words(&self.y_label, (left, y + 30.0), 15.0, PALE_INK);
        y as u32 + 60
    }

    fn chart(&self, canvas: &mut Canvas, top: u32) -> Result<()> {
        let mut places: Vec<f64> = self.points().map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else { bail!("there are no points to plot") };
        let low = self.points().map(|point| point.mean - point.deviation).fold(f64::INFINITY, f64::min);
        let high = self.points().map(|point| point.mean + point.deviation).fold(f64::NEG_INFINITY, f64::max);
        let (low, high, step) = round_range(low, high);
        // A tenth of the axis on either side; bars of several lines stand beside each other.
        let margin = (last / first).powf(0.08).max(1.3);
        let x = (first / margin..last * margin).log_scale();
        ensure!(places.len() <= 40, "{} places on the axis cannot be told apart", places.len());
        let x = x.with_key_points(places);
        let root = canvas.into_drawing_area();
        let root = root.margin((top - 10) * FINE, 14 * FINE, 14 * FINE, 24 * FINE);
        let mut chart = ChartBuilder::on(&root)
            .margin_top(10 * FINE)
            .x_label_area_size(50 * FINE)
            .y_label_area_size(52 * FINE)
            .build_cartesian_2d(x, low..high)?;
        let style = |size: u32, colour: Rgb<u8>| ("", size * FINE).into_font().color(&rgb(colour));
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(rgb(HAIR).stroke_width(FINE))
            .axis_style(rgb(PALE_INK).stroke_width(FINE))
            .set_all_tick_mark_size(5 * FINE)
            .label_style(style(15, PALE_INK))
            .axis_desc_style(style(15, PALE_INK))
            .y_labels(((high - low) / step).round() as usize + 1)
            .x_label_formatter(&|x| format!("{x}"))
            .y_label_formatter(&|y| format!("{:.*}", usize::from(step < 0.01), 100.0 * y))
            .x_desc(&self.x_label)
            .draw()?;
        let apart = (last / first).max(2.0).powf(0.008);
        for (i, (line, colour)) in self.lines.iter().zip(colours()).enumerate() {
            let beside = apart.powf(i as f64 - (self.lines.len() - 1) as f64 / 2.0);
            let mut points: Vec<Point> = line.points.iter().map(|point| Point { x: point.x * beside, ..*point }).collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            let ink = rgb(colour);
            chart.draw_series([PathElement::new(
                points.iter().map(|p| (p.x, p.mean)).collect::<Vec<_>>(),
                ink.stroke_width(2 * FINE + 1),
            )])?;
            let bar = |p: &Point| {
                ErrorBar::new_vertical(
                    p.x,
                    p.mean - p.deviation,
                    p.mean,
                    p.mean + p.deviation,
                    ink.stroke_width(FINE + 2),
                    2 * RADIUS * FINE,
                )
            };
            chart.draw_series(points.iter().filter(|p| p.deviation > 0.0).map(bar))?;
            chart.draw_series(points.iter().map(|p| Circle::new((p.x, p.mean), RADIUS * FINE, ink.filled())))?;
        }
        root.present()?;
        Ok(())
    }
}

fn colours() -> impl Iterator<Item = Rgb<u8>> {
    COLOURS.into_iter().cycle().map(Rgb)
}

fn rgb(colour: Rgb<u8>) -> RGBColor {
    RGBColor(colour.0[0], colour.0[1], colour.0[2])
}

/// A range around `low..high` within 0 and 1 that begins and ends on a tick, and the step between ticks, of which there are
/// about six.
fn round_range(low: f64, high: f64) -> (f64, f64, f64) {
    let steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
    let step = steps.into_iter().find(|step| (high - low) / step <= 6.0).unwrap_or(0.2);
    let (first, last) = (((low / step).floor() * step).max(0.0), ((high / step).ceil() * step).min(1.0));
    if last - first < step / 2.0 { ((first - step).max(0.0), (first + step).min(1.0), step) } else { (first, last, step) }
}

/// What the plotting library draws on.
struct Canvas {
    picture: RgbImage,
}

impl Canvas {
    /// A line of text, at a place of the finished picture.
    fn words(&mut self, words: &str, (x, y): (f32, f32), size: f32, ink: Rgb<u8>) {
        let fine = FINE as f32;
        glyphs::draw(&mut self.picture, words, (x * fine, y * fine), size * fine, ink);
    }

    fn block(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), ink: Rgb<u8>) {
        let [x, y, width, height] = [x, y, width, height].map(|v| (v * FINE as f32) as i64);
        for dy in 0..height {
            (0..width).for_each(|dx| glyphs::blend(&mut self.picture, x + dx, y + dy, ink, 1.0));
        }
    }

    fn disc(&mut self, (x, y): (f32, f32), radius: f32, ink: Rgb<u8>) {
        let [x, y, radius] = [x, y, radius].map(|v| (v * FINE as f32) as i64);
        for dy in -radius..=radius {
            let inside = (-radius..=radius).filter(|dx| dx * dx + dy * dy <= radius * radius);
            inside.for_each(|dx| glyphs::blend(&mut self.picture, x + dx, y + dy, ink, 1.0));
        }
    }
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for &mut Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.picture.dimensions()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, BackendColor { alpha, rgb: (r, g, b) }: BackendColor) -> Drawn {
        glyphs::blend(&mut self.picture, x.into(), y.into(), Rgb([r, g, b]), alpha as f32);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, words: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let (width, height) = self.estimate_text_size(words, style)?;
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => width as f32 / 2.0,
            HPos::Right => width as f32,
        };
        let above = match style.anchor().v_pos {
            VPos::Top => 0.0,
            VPos::Center => height as f32 / 2.0,
            VPos::Bottom => height as f32,
        };
        let (r, g, b) = style.color().rgb;
        glyphs::draw(&mut self.picture, words, (x as f32 - left, y as f32 - above), style.size() as f32, Rgb([r, g, b]));
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, words: &str, style: &S) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size() as f32;
        Ok((glyphs::width(words, size).ceil() as u32, size.ceil() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64, f64)]) -> Plot {
        let points = points.iter().map(|&(x, mean, deviation)| Point { x, mean, deviation }).collect();
        let line = Line { name: "pretrained".into(), points };
        Plot { title: "title".into(), x_label: "x".into(), y_label: "y".into(), lines: vec![line] }
    }

    /// Columns and rows of the picture that hold the first line's colour, below the legend.
    fn inked(picture: &RgbImage) -> Vec<(u32, u32)> {
        let blue = |p: &Rgb<u8>| p.0.iter().zip(COLOURS[0]).all(|(a, b)| a.abs_diff(b) < 8);
        picture.enumerate_pixels().filter(|&(_, y, p)| y > 116 && blue(p)).map(|(x, y, _)| (x, y)).collect()
    }

    #[test]
    fn higher_is_higher_and_more_is_to_the_right() {
        let picture = plot(&[(1.0, 0.5, 0.0), (100.0, 0.9, 0.0)]).draw().expect("a plot");
        assert_eq!(picture.dimensions(), SIZE);
        let inked = inked(&picture);
        let (left, right) = (inked.iter().min().expect("a line"), inked.iter().max().expect("a line"));
        assert!(right.0 - left.0 > 500 && left.1 > right.1 + 150, "from {left:?} to {right:?}");
    }

    #[test]
    fn every_name_is_in_the_legend() {
        let line = plot(&[(1.0, 0.5, 0.0), (10.0, 0.6, 0.0)]).lines.remove(0);
        let lines: Vec<Line> =
            (0..4).map(|i| Line { name: format!("{i}: a network of a long name, fine-tuned"), ..line.clone() }).collect();
        let picture = Plot { lines, ..plot(&[]) }.draw().expect("a plot");
        // Two rows of two: marks of all lines, and their names whole, before the right edge.
        let marks = |colour: [u8; 3], x: u32, y: u32| picture.get_pixel(x, y).0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 8);
        for (i, y) in [65, 65, 89, 89].into_iter().enumerate() {
            assert!((28..SIZE.0 - 300).any(|x| marks(COLOURS[i], x, y)), "line {i}");
        }
    }

    #[test]
    fn bars_are_as_long_as_deviations() {
        let extent = |deviation| {
            let inked = inked(&plot(&[(1.0, 0.5, deviation), (10.0, 0.2, 0.2), (20.0, 0.8, 0.2)]).draw().expect("a plot"));
            let first = inked.iter().map(|p| p.0).min().expect("a mark");
            let rows = || inked.iter().filter(|p| p.0 < first + 12).map(|p| p.1);
            rows().max().expect("rows") - rows().min().expect("rows")
        };
        // The axis is 0 to 1: a bar of +-0.2 is two fifths of it.
        assert!(extent(0.2) > 3 * extent(0.0), "{} {}", extent(0.2), extent(0.0));
    }

    #[test]
    fn axes_end_on_ticks_within_zero_and_one() {
        let close = |found: (f64, f64, f64), low: f64, high: f64, step: f64| {
            assert!((found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9 && found.2 == step, "{found:?}");
        };
        close(round_range(0.53, 0.91), 0.5, 1.0, 0.1);
        close(round_range(-0.1, 1.2), 0.0, 1.0, 0.2);
        close(round_range(0.973, 0.975), 0.973, 0.975, 0.001);
        close(round_range(0.5, 0.5), 0.499, 0.501, 0.001);
        close(round_range(1.0, 1.0), 0.999, 1.0, 0.001);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let refused = |plot: Plot| format!("{:#}", plot.draw().expect_err("refused"));
        assert!(refused(plot(&[])).contains("no points"));
        assert!(refused(plot(&[(0.0, 0.5, 0.1)])).contains("no place"));
        assert!(refused(plot(&[(1.0, f64::NAN, 0.1)])).contains("no place"));
        assert!(plot(&[(5.0, 1.0, 0.0)]).draw().is_ok(), "one point is a plot");
    }
}
