// The floor plan: no cycle between folders or files, no folder and no function too large to be read.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/rules/sources.h"

namespace caudal::rules {
namespace {

constexpr std::size_t kMaxFilesPerFolder = 25;  // beside CMakeLists.txt and README.md
constexpr int kMaxFunctionLines = 50;

using Graph = std::map<std::string, std::set<std::string>>;

// Strongly connected components with more than one node (Tarjan, SIAM J. Comput. 1972).
class Cycles {
 public:
  explicit Cycles(const Graph& graph) : graph_(graph) {
    for (const auto& [node, targets] : graph) {
      if (!index_.contains(node)) visit(node);
    }
  }
  std::vector<std::vector<std::string>> found() && { return std::move(found_); }

 private:
  void visit(const std::string& node) {
    const int index = static_cast<int>(index_.size());
    index_[node] = lowest_[node] = index;
    path_.push_back(node);
    const auto targets = graph_.find(node);
    if (targets != graph_.end()) {
      for (const std::string& target : targets->second) look_at(node, target);
    }
    if (lowest_[node] != index) return;
    const auto begin = std::find(path_.begin(), path_.end(), node);
    if (path_.end() - begin > 1) found_.emplace_back(begin, path_.end());
    path_.erase(begin, path_.end());
  }
  void look_at(const std::string& node, const std::string& target) {
    if (!index_.contains(target)) {
      visit(target);
      lowest_[node] = std::min(lowest_[node], lowest_[target]);
    } else if (std::find(path_.begin(), path_.end(), target) != path_.end()) {
      lowest_[node] = std::min(lowest_[node], index_[target]);
    }
  }

  const Graph& graph_;
  std::map<std::string, int> index_, lowest_;
  std::vector<std::string> path_;
  std::vector<std::vector<std::string>> found_;
};

std::vector<std::vector<std::string>> cycles_of(const Graph& graph) { return Cycles(graph).found(); }

std::string joined(const std::vector<std::string>& nodes) {
  std::string text;
  for (const std::string& node : nodes) text += " " + node;
  return text;
}

std::string folder_of(const std::string& file) { return file.substr(0, file.rfind('/')); }

// `name` maps a file to a node.
Graph include_graph(const std::function<std::string(const std::string&)>& name) {
  const std::vector<std::string> files = sources_in({"common", "kernels", "worker", "coordinator", "tests"});
  const std::set<std::string> known(files.begin(), files.end());
  Graph graph;
  for (const Include& include : includes_of(files)) {
    if (!known.contains(include.target)) continue;
    const std::string from = name(include.file);
    const std::string to = name(include.target);
    if (from != to) graph[from].insert(to);
  }
  return graph;
}

TEST(Structure, FindsCycles) {
  const auto cycles = cycles_of({{"a", {"b"}}, {"b", {"c"}}, {"c", {"b", "d"}}, {"d", {}}});
  ASSERT_EQ(cycles.size(), 1U);
  EXPECT_EQ(cycles.front(), (std::vector<std::string>{"b", "c"}));
}

TEST(Structure, NoFolderCycle) {
  const Graph graph = include_graph(folder_of);
  ASSERT_GT(graph.size(), 30U) << "the sources were not found";
  for (const auto& cycle : cycles_of(graph)) {
    ADD_FAILURE() << "folders include each other:" << joined(cycle);
  }
}

TEST(Structure, NoIncludeCycle) {
  for (const auto& cycle : cycles_of(include_graph([](const std::string& file) { return file; }))) {
    ADD_FAILURE() << "files include each other:" << joined(cycle);
  }
}

TEST(Structure, FoldersHaveFewFiles) {
  std::map<std::string, std::size_t> counts;
  for (const std::string& file : sources_in({"common", "kernels", "worker", "coordinator", "tests"})) {
    ++counts[folder_of(file)];
  }
  for (const auto& [folder, count] : counts) EXPECT_LE(count, kMaxFilesPerFolder) << folder;
}

// One function of a file that clang-format has laid out: its signature begins at an indentation of at most 2, its body
// after a line that ends with "{", and it ends with "}" at the indentation of its signature.
struct Function {
  std::string where;
  int num_lines = 0;
};

// The indentation of a line that may begin a function; npos: it does not.
std::size_t signature_indent(const std::string& line) {
  static const std::vector<std::string> others{"namespace", "struct", "class",  "enum", "union", "extern", "if",
                                               "for",       "while",  "switch", "do",   "else",  "#",      "//"};
  const std::size_t indent = line.find_first_not_of(' ');
  if (indent == std::string::npos || indent > 2 || line.find('(') == std::string::npos) return std::string::npos;
  const auto begins_with = [&](const std::string& word) { return line.compare(indent, word.size(), word) == 0; };
  return std::ranges::any_of(others, begins_with) ? std::string::npos : indent;
}

std::vector<Function> functions_of(const std::string& file) {
  std::vector<Function> found;
  std::istringstream text(read(file));
  Function current;
  std::string end;  // the line that closes the function at hand, or ""
  bool in_body = false;
  int number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    if (end.empty()) {
      const std::size_t indent = signature_indent(line);
      if (indent == std::string::npos) continue;
      current = {file + ":" + std::to_string(number), 0};
      end = std::string(indent, ' ') + "}";
      in_body = false;
    }
    ++current.num_lines;
    if (!in_body && (line.ends_with(';') || line.ends_with('}'))) end.clear();  // a declaration, or one line
    in_body = in_body || line.ends_with('{');
    if (line != end || !in_body) continue;
    found.push_back(current);
    end.clear();
  }
  return found;
}

TEST(Structure, FunctionsAreShort) {
  std::size_t num_functions = 0;
  for (const std::string& file : product_sources()) {
    for (const Function& function : functions_of(file)) {
      ++num_functions;
      EXPECT_LE(function.num_lines, kMaxFunctionLines) << function.where;
    }
  }
  EXPECT_GT(num_functions, 1000U);
}

}  // namespace
}  // namespace caudal::rules
