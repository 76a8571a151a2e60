// The part of Plotly that the figures of the page use, with their trace types only.
//
// The strict variants compile no functions from strings, which the Content-Security-Policy forbids.

import bar from "plotly.js/lib/bar";
import box from "plotly.js/lib/box";
import contour from "plotly.js/lib/contour";
import Plotly from "plotly.js/lib/core";
import heatmap from "plotly.js/lib/heatmap";
import histogram from "plotly.js/lib/histogram";
import violin from "plotly.js/lib/violin";
import parcoords from "plotly.js/src/traces/parcoords/strict";
import scattergl from "plotly.js/src/traces/scattergl/strict";

Plotly.register([bar, box, contour, heatmap, histogram, violin, parcoords, scattergl]);

export default Plotly;
