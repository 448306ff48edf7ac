#include "train/report/network_drawing.h"

#include <catch2/catch.hpp>
#include <pugixml.hpp>
#include <set>

using namespace fovea;

namespace {

struct Drawing {
  pugi::xml_document document;
  std::vector<pugi::xml_node> nodes, edges;
  std::string words;  // all texts, a line each

  explicit Drawing(const std::string& svg) {
    const pugi::xml_parse_result parsed = document.load_string(svg.c_str());
    INFO(parsed.description());
    REQUIRE(parsed);
    REQUIRE(std::string(document.first_child().name()) == "svg");
    for (const auto& found : document.select_nodes("//g[@class='node']")) nodes.push_back(found.node());
    for (const auto& found : document.select_nodes("//path[contains(@class, 'edge')]"))
      edges.push_back(found.node());
    for (const auto& found : document.select_nodes("//text"))
      words += std::string(found.node().text().get()) + "\n";
  }
  int count(const std::string& line) const {
    int count = 0;
    for (size_t at = words.find(line); at != std::string::npos; at = words.find(line, at + 1)) ++count;
    return count;
  }
};

}  // namespace

TEST_CASE("every BiFPN node and edge of D0 is drawn, with its fusion weight") {
  Random random(1);
  const EfficientDet model(efficientdet_spec("efficientdet_d0"), 90, random);
  std::map<std::string, std::vector<double>> weights;  // by node
  for (const NamedTensor& p : model.parameters()) {
    if (!p.name.ends_with("edge_weights")) continue;
    for (float& w : p.tensor.span<float>()) w = random.uniform(-0.5, 2);
    std::vector<double> fused;
    double sum = 1e-4;
    for (const double w : p.tensor.values()) sum += std::max(w, 0.0);
    for (const double w : p.tensor.values()) fused.push_back(std::max(w, 0.0) / sum);
    weights[p.name.substr(0, p.name.find(".combine"))] = fused;
  }
  const Drawing drawing(draw_network(model, 512, 512, true));
  CHECK(drawing.nodes.size() == 3 * 8);
  CHECK(drawing.edges.size() == 3 * (5 * 2 + 3 * 3));
  std::map<std::string, size_t> seen;
  for (const auto& edge : drawing.edges) {
    const std::string to = edge.attribute("data-to").value();
    REQUIRE(weights.contains(to));
    const size_t input = seen[to]++;
    REQUIRE(input < weights[to].size());
    CHECK(edge.attribute("data-weight").as_double() == Approx(weights[to][input]).margin(1e-6));
    CHECK(drawing.count(fmt::format("{:.2f}\n", weights[to][input])) >= 1);
    const std::string style = edge.attribute("style").value();
    CHECK(std::stod(style.substr(style.find(':') + 1)) == Approx(0.8 + 5 * weights[to][input]).margin(0.006));
  }
  std::set<std::string> names, from;
  for (const auto& node : drawing.nodes) names.insert(node.attribute("data-name").value());
  for (const auto& edge : drawing.edges) from.insert(edge.attribute("data-from").value());
  CHECK(names.size() == 24);
  CHECK(from.contains("P7"));
  CHECK(from.contains("fpn.cell.1.fnode.3"));
  CHECK_FALSE(from.contains("fpn.cell.2.fnode.7"));
  CHECK(drawing.count("2 × MBConv6 5×5, stride 2\n64×64, 40 channels\n") == 1);  // stage 2, P3
  CHECK(drawing.count("→ 9 anchors × 90 classes") == 1);
  CHECK(drawing.count("49104\n") == 1);
  CHECK(drawing.count("36864\n") == 1);
}

TEST_CASE(
    "networks of other shapes are also drawn: no weights, other connections, six levels, a classifier") {
  Random random(1);
  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  const auto drawn = [&](Connections connections, Fusion fusion, int max_level) {
    spec.fpn.connections = connections;
    spec.fpn.fusion = fusion;
    spec.fpn.max_level = spec.anchors.max_level = max_level;
    return Drawing(draw_network(EfficientDet(spec, 3, random), 100, 140, true));
  };
  const Drawing sum = drawn(Connections::bifpn, Fusion::sum, 8);
  CHECK(sum.nodes.size() == 10);
  CHECK(sum.edges.size() == 6 * 2 + 4 * 3);
  CHECK_FALSE(sum.edges[0].attribute("data-weight"));
  CHECK(sum.count("P3: 13×18 × 9\n") == 1);
  const Drawing top_down = drawn(Connections::top_down, Fusion::softmax, 7);
  CHECK(top_down.nodes.size() == 5);
  CHECK(top_down.edges.size() == 9);
  CHECK(drawn(Connections::top_down_bottom_up, Fusion::fast_normalized, 7).nodes.size() == 10);
  CHECK(drawn(Connections::fully_connected, Fusion::fast_normalized, 7).edges.size() == 25);

  const EfficientDet untrained(efficientdet_spec("efficientdet_d-3"), 3, random);
  const Drawing plain(draw_network(untrained, 128, 128, false));
  CHECK(plain.count("0.50\n") == 0);
  CHECK(std::string(plain.edges[0].attribute("style").value()) == "stroke-width:1.60");

  const Drawing classifier(
      draw_network(EfficientNet(efficientnet_spec("efficientnet_b0"), 1000, random), 224));
  CHECK(classifier.nodes.empty());
  CHECK(classifier.count("4 × MBConv6 5×5, stride 2\n7×7, 192 channels\n") == 1);
  CHECK(classifier.count("1000 classes") == 1);
  CHECK(classifier.document.select_nodes("//rect[@class='block']").size() == 16);
}
