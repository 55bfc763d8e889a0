//! Plots of a sweep.

mod in_flight;
mod latency;
mod shares;
mod style;
mod tail;

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
use kuva::{
    backend::{png::PngBackend, svg::SvgBackend},
    render::render::Scene,
};

pub(crate) use self::{in_flight::in_flight, latency::latency, shares::shares, tail::tail};
use crate::sweep::Sweep;

/// Writes all plots of the sweep, as SVG and PNG.
pub(crate) fn write_all(sweep: &Sweep, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into).with_context(|| into.display().to_string())?;
    let name = sweep.scenario.name;
    if sweep.points.len() > 1 && sweep.has_figures() {
        write_both(&tail(sweep), into, &format!("{name}-tail"))?;
    }
    for point in sweep.points.iter().filter(|point| point.has_figures()) {
        let load = point.load;
        write_both(&latency(sweep, point), into, &format!("{name}-{load}-latency"))?;
        write_both(&in_flight(sweep, point), into, &format!("{name}-{load}-in-flight"))?;
        write_both(&shares(sweep, point), into, &format!("{name}-{load}-shares"))?;
    }
    Ok(())
}

fn write_both(scene: &Scene, into: &Path, name: &str) -> anyhow::Result<()> {
    write_svg(scene, &into.join(format!("{name}.svg")))?;
    let path = into.join(format!("{name}.png"));
    let png = PngBackend::new().render_scene(scene).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    fs::write(&path, png).with_context(|| path.display().to_string())
}

pub(crate) fn write_svg(scene: &Scene, path: &Path) -> anyhow::Result<()> {
    fs::write(path, SvgBackend.render_scene(scene)).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_full() {
        assert_eq!(shares::rows(7), [4, 3]);
        assert_eq!(shares::rows(9), [3, 3, 3]);
        for panels in 1..30 {
            let rows = shares::rows(panels);
            assert_eq!(rows.iter().sum::<usize>(), panels);
            assert!(rows.iter().all(|row| (1..=4).contains(row)));
        }
    }
}
