#include "train/report/network_drawing.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "models/anchors.h"
#include "train/report/html.h"

namespace fovea {
namespace {

// Colours as classes, since not every viewer knows CSS variables; a viewer without media queries shows light
// colours.
constexpr const char* style = R"(<style>
text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1b1f24}
.title{font-size:20px;font-weight:600}.head{font-size:12.5px;font-weight:600}.small{font-size:10.5px}
.muted{fill:#626b78}.page{fill:#fff}.band{fill:#f3f5f8}
.stage{fill:#eef2f8;stroke:#7c8aa0}.tap{fill:#dbe7fb;stroke:#2563c9}.block{fill:#7c8aa0}.tap-block{fill:#2563c9}
.input{fill:#dbe7fb;stroke:#2563c9}.middle{fill:#fdeee6;stroke:#c4572e}.output{fill:#e6f4ea;stroke:#2b8a3e}
.net{fill:#f7f1fb;stroke:#9c36b5}.table{fill:#fbf7e9;stroke:#b8860b}
.flow,.edge{fill:none;stroke-width:1.6}.flow{stroke:#626b78}
.same{stroke:#46546b}.up{stroke:#c4572e}.down{stroke:#2563c9}
.flow-tip{fill:#626b78}.same-tip{fill:#46546b}.up-tip{fill:#c4572e}.down-tip{fill:#2563c9}
.weight{font-size:10.5px;font-weight:600;stroke:#f3f5f8;stroke-width:3px;paint-order:stroke}
@media (prefers-color-scheme:dark){text{fill:#e6e8eb}.muted{fill:#9aa3af}.page{fill:#14171b}.band{fill:#1d2126}
.stage{fill:#252b33;stroke:#77839a}.tap{fill:#1d3050;stroke:#6ea8fe}.block{fill:#77839a}.tap-block{fill:#6ea8fe}
.input{fill:#1d3050;stroke:#6ea8fe}.middle{fill:#43291c;stroke:#ff922b}.output{fill:#1c3824;stroke:#69db7c}
.net{fill:#33223c;stroke:#da8ff0}.table{fill:#383018;stroke:#ffd43b}
.flow{stroke:#9aa3af}.same{stroke:#b4bfcd}.up{stroke:#ff922b}.down{stroke:#6ea8fe}
.flow-tip{fill:#9aa3af}.same-tip{fill:#b4bfcd}.up-tip{fill:#ff922b}.down-tip{fill:#6ea8fe}.weight{stroke:#1d2126}}
</style>)";

struct Point {
  double x, y;
};

// The elements of a drawing, in the order in which they are painted.
class Drawing {
 public:
  void text(Point at, const std::string& words, const char* classes, const char* anchor = "middle") {
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", at.x,
                         at.y, classes, anchor, escape_html(words));
  }
  void box(Point corner, Point size, const std::string& classes, const std::string& explanation = "",
           double rounding = 6) {
    body_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" "
        "class=\"{}\">{}</rect>\n",
        corner.x, corner.y, size.x, size.y, rounding, classes, title(explanation));
  }
  void circle(Point centre, double radius, const std::string& classes, const std::string& letters,
              const std::string& explanation, const std::string& data = "") {
    body_ += fmt::format(
        "<g{}>{}<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" class=\"{}\"/>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text></g>\n",
        data, title(explanation), centre.x, centre.y, radius, classes, centre.x, centre.y + 4.5, letters);
  }
  // kind: flow, same, up or down. Bent lines pass `bend` above or below the middle of the straight one.
  void arrow(Point from, Point to, const std::string& kind, const std::string& classes, double thickness,
             double bend = 0, const std::string& data = "") {
    const std::string shape = bend == 0 ? fmt::format("L{:.1f},{:.1f}", to.x, to.y)
                                        : fmt::format("Q{:.1f},{:.1f} {:.1f},{:.1f}", (from.x + to.x) / 2,
                                                      (from.y + to.y) / 2 - 2 * bend, to.x, to.y);
    body_ += fmt::format(
        "<path d=\"M{:.1f},{:.1f} {}\" class=\"{}\" style=\"stroke-width:{:.2f}\" "
        "marker-end=\"url(#{})\"{}/>\n",
        from.x, from.y, shape, classes, thickness, kind, data);
  }
  void line(Point from, Point to, const char* classes, double thickness) {
    body_ +=
        fmt::format("<path d=\"M{:.1f},{:.1f} L{:.1f},{:.1f}\" class=\"{}\" style=\"stroke-width:{}\"/>\n",
                    from.x, from.y, to.x, to.y, classes, thickness);
  }
  std::string finish(const std::string& name, Point size) const {
    std::string markers;
    for (const char* kind : {"flow", "same", "up", "down"})
      markers += fmt::format(
          "<marker id=\"{0}\" viewBox=\"0 0 10 10\" refX=\"8\" refY=\"5\" markerWidth=\"9\" "
          "markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">"
          "<path d=\"M0,0 L10,5 L0,10 z\" class=\"{0}-tip\"/></marker>",
          kind);
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
        "aria-label=\"{2}\">\n<title>{2}</title>\n{3}\n<defs>{4}</defs>\n"
        "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" class=\"page\"/>\n{5}</svg>\n",
        size.x, size.y, escape_html(name), style, markers, body_);
  }

 private:
  static std::string title(const std::string& explanation) {
    return explanation.empty() ? "" : "<title>" + escape_html(explanation) + "</title>";
  }
  std::string body_;
};

int64_t parameters_below(const Module& model, const std::string& prefix) {
  int64_t count = 0;
  for (const NamedTensor& p : model.parameters())
    if (p.name.starts_with(prefix)) count += p.tensor.numel();
  return count;
}

std::string millions(int64_t count) {
  return count < 100'000 ? fmt::format("{:.1f} thousand", double(count) / 1e3)
                         : fmt::format("{:.2f} million", double(count) / 1e6);
}

int64_t halved(int64_t size, int times) {
  for (int i = 0; i < times; ++i) size = (size + 1) / 2;
  return size;
}

constexpr double stage_width = 218, stage_height = 38, stage_left = 18;
constexpr double stage_centre = stage_left + stage_width / 2;

void arrow_up(Drawing& drawing, double from_y, double to_y) {
  drawing.arrow({stage_centre, from_y}, {stage_centre, to_y}, "flow", "flow", 1.6);
}

void stage_box(Drawing& drawing, double y, const std::string& head, const std::string& detail, bool tap,
               int blocks, const std::string& explanation) {
  const double top = y - stage_height / 2;
  drawing.box({stage_left, top}, {stage_width, stage_height}, tap ? "tap" : "stage", explanation);
  drawing.text({stage_left + 10, top + 15}, head, "head", "start");
  drawing.text({stage_left + 10, top + 30}, detail, "small muted", "start");
  const double step = std::min(9.0, 84.0 / std::max(blocks, 1));  // one square a block
  for (int i = 0; i < blocks; ++i)
    drawing.box({stage_left + stage_width - 10 - step * (blocks - i), top + 22}, {step - 2, 8},
                tap ? "tap-block" : "block", "", 1.5);
}

// The backbone from the image, upwards; the end of stage 2 (P3) is at y, with a stage every `step`. Returns
// the y of the last stage.
double draw_backbone(Drawing& drawing, const EfficientNetSpec& spec, const std::string& prefix,
                     int64_t height, int64_t width, double y_of_p3, double step, bool taps) {
  const EfficientNetPlan plan = efficientnet_plan(spec);
  const auto size = [&](int halvings) {
    return fmt::format("{}×{}", halved(height, halvings), halved(width, halvings));
  };
  double y = y_of_p3 + 4 * step;
  stage_box(drawing, y, "image", fmt::format("{}, 3 channels", size(0)), false, 0, "");
  arrow_up(drawing, y - stage_height / 2, y - step + stage_height / 2 + 1);
  y -= step;
  stage_box(drawing, y, "stem: conv 3×3, stride 2",
            fmt::format("{}, {} channels", size(1), plan.stem_channels), false, 0, prefix + "conv_stem, bn1");
  int halvings = 1;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const EfficientNetStage& stage = plan.stages[s];
    halvings += stage.stride == 2;
    arrow_up(drawing, y - stage_height / 2, y - step + stage_height / 2 + 1);
    y -= step;
    stage_box(drawing, y,
              fmt::format("{} × MBConv{} {}×{}{}", stage.repeats, stage.expansion, stage.kernel, stage.kernel,
                          stage.stride == 1 ? "" : ", stride 2"),
              fmt::format("{}, {} channels", size(halvings), stage.channels), taps && is_feature_stage(s),
              stage.repeats, fmt::format("{}blocks.{}: {} blocks", prefix, s, stage.repeats));
  }
  return y;
}

}  // namespace

std::string draw_network(const EfficientNet& model, int size) {
  const EfficientNetSpec& spec = model.spec();
  const EfficientNetPlan plan = efficientnet_plan(spec);
  constexpr double step = 58, top = 84;
  Drawing drawing;
  const bool classifies = !model.parameters().empty() && parameters_below(model, "classifier.") > 0;
  const int heads = classifies ? 3 : 0;
  const double y_of_p3 = top + (heads + 4) * step + stage_height / 2;
  drawing.text({stage_left, 34}, spec.name, "title", "start");
  drawing.text({stage_left, 56},
               fmt::format("{} parameters; width × {:.3g}, depth × {:.3g}", millions(model.parameter_count()),
                           spec.width, spec.depth),
               "muted", "start");
  double y = draw_backbone(drawing, spec, "", size, size, y_of_p3, step, false);
  const auto next = [&](const std::string& head, const std::string& detail, const std::string& name) {
    arrow_up(drawing, y - stage_height / 2, y - step + stage_height / 2 + 1);
    y -= step;
    stage_box(drawing, y, head, detail, true, 0, name);
  };
  if (classifies) {
    const int64_t classes = parameters_below(model, "classifier.bias");
    next("conv 1×1", fmt::format("{0}×{0}, {1} channels", halved(size, 5), plan.head_channels),
         "conv_head, bn2");
    next("mean over the image", fmt::format("{} numbers", plan.head_channels), "");
    next("classifier", fmt::format("{} classes", classes), "classifier");
  }
  return drawing.finish(spec.name, {stage_left * 2 + stage_width + 80, y_of_p3 + 4 * step + 44});
}

namespace {

constexpr double row = 92, column = 100, radius = 19, first_column = 318, level_top = 122;

// The drawing of a detector.
class DetectorDrawing {
 public:
  DetectorDrawing(const EfficientDet& model, int height, int width, bool show_weights)
      : model_(model),
        spec_(model.spec()),
        height_(height),
        width_(width),
        show_weights_(show_weights),
        plan_(bifpn_plan(spec_.fpn.min_level, spec_.fpn.max_level, spec_.fpn.connections)) {
    for (const NamedTensor& p : model.parameters()) parameters_.emplace(p.name, p.tensor);
    for (const BiFpnNodePlan& node : plan_) ++nodes_of_level_[node.level];
    for (const auto& [level, nodes] : nodes_of_level_) columns_ = std::max(columns_, nodes);
  }

  std::string draw() {
    for (int cell = 0; cell < spec_.fpn.cells; ++cell) {
      const double x = x_of(cell, 0) - column / 2 + 4;
      drawing_.box({x, level_top - 52}, {columns_ * column - 8, y_of(spec_.fpn.min_level) - level_top + 86},
                   "band");
      drawing_.text({x + columns_ * column / 2 - 4, level_top - 34}, fmt::format("cell {}", cell + 1),
                    "muted");
    }
    draw_title();
    draw_backbone(drawing_, spec_.backbone, "backbone.", height_, width_, y_of(3), row / 2, true);
    draw_pyramid();
    std::vector<Point> places;
    std::vector<std::string> names;
    for (int level = spec_.fpn.min_level; level <= spec_.fpn.max_level; ++level) {
      places.push_back({first_column, y_of(level)});
      names.push_back(fmt::format("P{}", level));
    }
    for (int cell = 0; cell < spec_.fpn.cells; ++cell) draw_cell(cell, places, names);
    draw_heads(places);
    draw_legend();
    return drawing_.finish(spec_.name, {fork() + 316, y_of(3) + 2 * row + 50});
  }

 private:
  double y_of(int level) const { return level_top + (spec_.fpn.max_level - level) * row; }
  double x_of(int cell, int place) const { return first_column + (cell * columns_ + place + 1) * column; }
  double fork() const { return x_of(spec_.fpn.cells - 1, columns_ - 1) + column / 2 + 20; }
  std::string size_of_level(int level) const {
    return fmt::format("{}×{}", halved(height_, level), halved(width_, level));
  }

  void draw_title() {
    drawing_.text({stage_left, 34}, spec_.name, "title", "start");
    drawing_.text(
        {stage_left, 54},
        fmt::format("{} parameters: backbone {}, BiFPN {}, class net {}, box net {}",
                    millions(model_.parameter_count()), millions(below("backbone.")), millions(below("fpn.")),
                    millions(below("class_net.")), millions(below("box_net."))),
        "muted", "start");
  }

  int64_t below(const std::string& prefix) const { return parameters_below(model_, prefix); }

  // Levels 3 to 5 are ends of the backbone's stages, coarser ones are pooled from the one before.
  void draw_pyramid() {
    for (int level = spec_.fpn.min_level; level <= spec_.fpn.max_level; ++level) {
      const Point at{first_column, y_of(level)};
      const bool tapped = level <= 5;
      if (tapped)
        drawing_.arrow({stage_left + stage_width, at.y}, {at.x - radius, at.y}, "flow", "flow", 1.6);
      else
        drawing_.arrow({at.x, at.y + row - radius}, {at.x, at.y + radius}, "down", "flow down", 1.6);
      if (!tapped) {
        const bool converted = level == 6 && parameters_.contains("fpn.resample.3.conv.conv.weight");
        drawing_.text({at.x - 8, at.y + row / 2 + 4}, converted ? "conv 1×1, max pool" : "max pool",
                      "small muted", "end");
      }
      drawing_.circle(at, radius, "input", fmt::format("P{}", level),
                      fmt::format("level {}: {}, stride {}", level, size_of_level(level), 1 << level));
      drawing_.text({at.x - radius - 6, at.y - 8}, size_of_level(level), "small muted", "end");
    }
  }

  // Replaces places and names of the levels by those of the cell's outputs.
  void draw_cell(int cell, std::vector<Point>& places, std::vector<std::string>& names) {
    std::map<int, int> seen;
    std::vector<Point> all = places;
    std::vector<std::string> all_names = names;
    std::vector<std::string> classes;
    for (size_t n = 0; n < plan_.size(); ++n) {
      const int level = plan_[n].level, turn = ++seen[level];
      const bool last = turn == nodes_of_level_[level];
      all.push_back({x_of(cell, last ? columns_ - 1 : turn - 1), y_of(level)});
      all_names.push_back(fmt::format("fpn.cell.{}.fnode.{}", cell, n));
      classes.push_back(last ? "output" : "middle");
      const size_t index = size_t(level - spec_.fpn.min_level);
      if (last) places[index] = all.back(), names[index] = all_names.back();
    }
    const size_t levels = places.size();
    std::vector<std::string> formulas;
    for (size_t n = 0; n < plan_.size(); ++n) formulas.push_back(draw_inputs(n, all, all_names));
    for (size_t n = 0; n < plan_.size(); ++n)
      drawing_.circle(all[levels + n], radius, classes[n], fmt::format("P{}", plan_[n].level),
                      all_names[levels + n] + formulas[n],
                      fmt::format(" class=\"node\" data-name=\"{}\"", all_names[levels + n]));
  }

  // The lines into one node; returns its formula in words.
  std::string draw_inputs(size_t node, const std::vector<Point>& all, const std::vector<std::string>& names) {
    const size_t levels = size_t(spec_.fpn.max_level - spec_.fpn.min_level + 1), own = levels + node;
    const std::vector<int>& inputs = plan_[node].inputs;
    std::vector<double> weights;
    if (const auto found = parameters_.find(names[own] + ".combine.edge_weights"); found != parameters_.end())
      weights = fusion_weights(found->second, spec_.fpn.fusion);
    std::string formula = ": the sum of";
    for (size_t i = 0; i < inputs.size(); ++i) {
      const size_t input = size_t(inputs[i]);
      const int level = level_of(input), to = plan_[node].level;
      const char* kind = level == to ? "same" : level > to ? "up" : "down";
      const std::string weight = weights.empty() ? "" : fmt::format("{:.2f}", weights[i]);
      formula += fmt::format("{} {} {}", i ? " and" : "", weight, names[input]);
      std::string data = fmt::format(" data-from=\"{}\" data-to=\"{}\"", names[input], names[own]);
      if (!weights.empty()) data += fmt::format(" data-weight=\"{:.6f}\"", weights[i]);
      draw_edge(all[input], all[own], kind, show_weights_ ? weight : "",
                show_weights_ && !weights.empty() ? 0.8 + 5 * weights[i] : 1.6, data);
    }
    return formula + fmt::format("; {}, separable conv 3×3, norm", name(spec_.fpn.activation));
  }

  void draw_edge(Point from, Point to, const char* kind, const std::string& weight, double thickness,
                 const std::string& data) {
    // Along a row, a line that would cross other circles is bent above them.
    const double bend = from.y == to.y && to.x - from.x > column * 1.5 && bent_over(from, to) ? 26 : 0;
    const double dx = to.x - from.x, dy = to.y - from.y - (bend > 0 ? -4 * bend : 0);
    const double length = std::hypot(dx, dy), ux = dx / length, uy = dy / length;
    const Point start = bend > 0 ? Point{from.x + radius * 0.7, from.y - radius * 0.75}
                                 : Point{from.x + ux * radius, from.y + uy * radius};
    const Point end = bend > 0 ? Point{to.x - radius * 0.72, to.y - radius * 0.78}
                               : Point{to.x - ux * (radius + 1), to.y - uy * (radius + 1)};
    drawing_.arrow(start, end, kind, fmt::format("edge {}", kind), thickness, bend, data);
    if (weight.empty()) return;
    // Beside the middle of a line; a bent line crosses a vertical one there, so its label is further up.
    Point label{(start.x + end.x) / 2, (start.y + end.y) / 2};
    if (bend > 0)
      label = {label.x - 17, start.y - bend - 2};
    else if (from.x == to.x)
      label = {to.x + 17, std::min(start.y, end.y) + 15};
    else if (dy == 0)
      label.y -= 5;
    drawing_.text(label, weight, "weight");
  }

  // Whether a node is between the two places of one row.
  bool bent_over(Point from, Point to) const {
    for (const auto& [level, nodes] : nodes_of_level_)
      if (y_of(level) == from.y) return nodes > 1 && to.x - from.x > column * 1.5;
    return false;
  }

  int level_of(size_t input) const {
    const size_t levels = size_t(spec_.fpn.max_level - spec_.fpn.min_level + 1);
    return input < levels ? spec_.fpn.min_level + int(input) : plan_[input - levels].level;
  }

  // Every level goes through both nets, which have one set of weights for all.
  void draw_heads(const std::vector<Point>& outputs) {
    const double x = fork(), left = x + 44, width = 256, top = level_top - 52;
    for (const Point& output : outputs)
      drawing_.arrow({output.x + radius, output.y}, {x, output.y}, "flow", "flow", 1.6);
    drawing_.line({x, outputs.back().y - 8}, {x, outputs.front().y + 8}, "flow", 3);
    const int repeats = spec_.head_repeats, per_cell = spec_.anchors.per_cell();
    double y = top;
    for (const bool classes : {true, false}) {
      const std::string name = classes ? "class_net" : "box_net";
      drawing_.arrow({x, y + 62}, {left - 1, y + 62}, "flow", "flow", 1.6);
      drawing_.box({left, y}, {width, 124}, "net", name);
      drawing_.text({left + 14, y + 22}, classes ? "class net" : "box net", "head", "start");
      const std::vector<std::string> lines = {
          fmt::format("{} × separable conv 3×3, {} channels", repeats, spec_.fpn.channels),
          "one set of weights for all levels,", "batch norms of each level's own",
          classes ? fmt::format("→ {} anchors × {} classes", per_cell, model_.classes())
                  : fmt::format("→ {} anchors × 4 numbers", per_cell),
          fmt::format("{} parameters", millions(below(name + ".")))};
      for (size_t i = 0; i < lines.size(); ++i)
        drawing_.text({left + 14, y + 42 + 17 * double(i)}, lines[i], i == 3 ? "" : "muted", "start");
      y += 140;
    }
    draw_anchors({left, y}, width);
  }

  void draw_anchors(Point corner, double width) {
    const int levels = spec_.fpn.max_level - spec_.fpn.min_level + 1;
    drawing_.box(corner, {width, 48 + 17.0 * levels}, "table", "anchors");
    drawing_.text({corner.x + 14, corner.y + 22}, "anchors", "head", "start");
    int64_t total = 0;
    double y = corner.y + 42;
    for (int level = spec_.fpn.min_level; level <= spec_.fpn.max_level; ++level, y += 17) {
      const int64_t count = halved(height_, level) * halved(width_, level) * spec_.anchors.per_cell();
      total += count;
      drawing_.text({corner.x + 14, y},
                    fmt::format("P{}: {} × {}", level, size_of_level(level), spec_.anchors.per_cell()),
                    "muted", "start");
      drawing_.text({corner.x + 182, y}, fmt::format("{:.0f} px", spec_.anchors.anchor_scale * (1 << level)),
                    "muted", "end");
      drawing_.text({corner.x + width - 14, y}, fmt::format("{}", count), "muted", "end");
    }
    drawing_.text({corner.x + width - 14, corner.y + 22}, fmt::format("{}", total), "head", "end");
  }

  void draw_legend() {
    const double x = first_column - radius, y = y_of(3) + row - 6;
    const std::vector<std::pair<const char*, std::string>> kinds = {
        {"same", "the level itself"},
        {"up", "the level above, coarser: each pixel repeated"},
        {"down", "the level below, finer: max pool 3×3, stride 2"}};
    for (size_t i = 0; i < kinds.size(); ++i) {
      const double line = y + 20 * double(i);
      drawing_.arrow({x, line - 4}, {x + 40, line - 4}, kinds[i].first, std::string("flow ") + kinds[i].first,
                     1.8);
      drawing_.text({x + 50, line}, kinds[i].second, "muted", "start");
    }
    const bool sum = spec_.fpn.fusion == Fusion::sum;
    std::vector<std::string> lines = {
        sum ? "A circle: its inputs are added as they are,"
        : spec_.fpn.fusion == Fusion::softmax
            ? "A circle: inputs weighed by the softmax of learned numbers,"
            : "A circle: inputs weighed by learned w, max(w, 0) / (sum + 0.0001),"};
    if (show_weights_ && !sum) lines.push_back("which each line's number and thickness show;");
    lines.push_back(fmt::format("then {}, a separable conv 3×3 to {} channels, and batch norm.",
                                name(spec_.fpn.activation), spec_.fpn.channels));
    lines.push_back("A stage's squares are its blocks.");
    for (size_t i = 0; i < lines.size(); ++i)
      drawing_.text({x, y + 62 + 17 * double(i)}, lines[i], "muted", "start");
  }

  const EfficientDet& model_;
  const EfficientDetSpec& spec_;
  int height_, width_;
  bool show_weights_;
  std::vector<BiFpnNodePlan> plan_;
  std::map<std::string, Tensor> parameters_;
  std::map<int, int> nodes_of_level_;
  int columns_ = 1;
  Drawing drawing_;
};

}  // namespace

std::string draw_network(const EfficientDet& model, int height, int width, bool show_weights) {
  return DetectorDrawing(model, height, width, show_weights).draw();
}

}  // namespace fovea
