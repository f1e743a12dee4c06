// How a model writes what is not plain text: calls of tools and reasoning. Found once at load from what its chat
// template prints (find_format), or named by the operator; then immutable. The parser and the writer of grammars both
// read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace caudal {

// White space at both ends and around it is not part of a mark: models are free with it.
struct CallElement {
  enum class Kind : std::uint8_t {
    kLiteral,     // `text`
    kName,        // the function's name
    kSkip,        // an id or a number that nobody needs, up to the next literal; `text`: what a grammar writes there
    kObject,      // a JSON object that holds name and arguments
    kJson,        // the arguments as a JSON object
    kLoose,       // the arguments as a literal of another language, up to the bracket that closes it
    kParameters,  // the arguments one by one, each between marks
  };
  Kind kind = Kind::kLiteral;
  std::string text{};
};

// Members of the object of a call.
struct ObjectForm {
  std::string name_key = "name";  // "": the name is the key of the arguments
  std::string arguments_key = "arguments";
  std::string id_key{};  // "": none
};

// <open>KEY<key_close>VALUE<close>. A value that is no string is JSON.
struct ParameterForm {
  std::string open{};
  std::vector<std::string> key_closes{};  // the first is for strings; where there is one only, the format does not tell
  std::string close{};
  bool close_has_key = false;  // the key stands in `close`, too, at key_in_close
  std::size_t key_in_close = 0;
  std::string value_space{};  // stands on both sides of a value
};

// Literals of a language like Python: what quotes a string, and what stands between key and value.
struct LooseForm {
  std::string quote = "\"";
  char key_close = '=';
  char open = '(';  // the bracket around the arguments
};

struct ToolFormat {
  std::string block_open{};   // before the first call
  std::string separator{};    // between two
  std::string block_close{};  // behind the last
  std::vector<CallElement> call{};
  // What the model may write instead of `call`, where the template prints another form than the model was trained on.
  std::vector<std::vector<CallElement>> other_calls{};
  ObjectForm object{};
  ParameterForm parameters{};
  LooseForm loose{};
  bool several = true;             // the template takes more than one call in a message
  bool arguments_as_text = false;  // it wants the arguments of earlier calls as JSON text, not as an object
  enum class Ids : std::uint8_t { kRandom, kNineCharacters, kWithName } ids = Ids::kRandom;

  // Nothing but the call itself says that it is one.
  bool bare() const;
  // How an object may begin that is such a call, where a grammar holds it.
  std::vector<std::string> object_openings() const;
};

struct ReasoningFormat {
  std::string open{};
  std::string close{};
};

struct OutputFormat {
  std::optional<ToolFormat> tools;
  std::optional<ReasoningFormat> reasoning;
  std::string content_open{};       // what the model writes in front of its content; one of `silent`
  std::vector<std::string> silent;  // marks around content that are no part of it
  bool told = true;                 // the template tells the model of tools; else a system message does

  // Every mark, for telling tokens that are part of one.
  std::vector<std::string> marks() const;
};

}  // namespace caudal
