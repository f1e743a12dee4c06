#include "coordinator/gateway/gateway.h"

#include <ctime>

#include "common/log.h"
#include "coordinator/gateway/chat/chat_template.h"

namespace caudal {

struct Gateway::Parts {
  Parts(const GatewayConfig& config, ModelContext model_context, RequestService& service, Metrics& metrics)
      : model(std::move(model_context)),
        encoder(model),
        context{model, encoder, service, metrics},
        pool(config.num_work_threads, config.max_waiting_work) {}

  const ModelContext model;
  const PromptEncoder encoder;
  const GenerationContext context;
  WorkPool pool;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<ZmqGateway> zmq;
};

Result<std::unique_ptr<Gateway>> Gateway::start(const GatewayConfig& config, ModelContext model,
                                                RequestService& service, Metrics& metrics) {
  auto parts = std::make_unique<Parts>(config, std::move(model), service, metrics);
  Result<std::unique_ptr<HttpServer>> http = HttpServer::start(config.http, parts->context, parts->pool);
  if (!http) return http.error();
  parts->http = std::move(http).value();
  if (config.zmq_enabled) {
    Result<std::unique_ptr<ZmqGateway>> zmq = ZmqGateway::start(config.zmq, parts->context, parts->pool);
    if (!zmq) return zmq.error();
    parts->zmq = std::move(zmq).value();
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Gateway::~Gateway() { stop(); }

std::uint16_t Gateway::http_port() const { return parts_->http->port(); }

std::string Gateway::zmq_endpoint() const { return parts_->zmq == nullptr ? "" : parts_->zmq->endpoint(); }

bool Gateway::answering() const {
  return parts_->http->answering() || (parts_->zmq != nullptr && parts_->zmq->answering());
}

void Gateway::begin_drain() {
  parts_->http->begin_drain();
  if (parts_->zmq != nullptr) parts_->zmq->begin_drain();
}

void Gateway::stop() {
  begin_drain();
  parts_->http->stop();
  if (parts_->zmq != nullptr) parts_->zmq->stop();
  parts_->pool.stop();
}

namespace {

std::optional<std::string> token_text(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  if (!id) return std::nullopt;
  const std::optional<std::string_view> text = tokenizer.id_to_token(*id);
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

std::function<Result<std::string>(const ChatInput&)> make_renderer(ChatTemplate chat_template,
                                                                   std::shared_ptr<const Tokenizer> tokenizer) {
  return [chat_template = std::move(chat_template), tokenizer](const ChatInput& chat) {
    ChatTemplateInput input;
    input.messages = &chat.messages;
    input.tools = chat.tools.empty() ? nullptr : &chat.tools;
    input.variables = &chat.template_kwargs;
    input.add_generation_prompt = chat.add_generation_prompt;
    input.bos_token = token_text(*tokenizer, tokenizer->named_tokens().bos);
    input.eos_token = token_text(*tokenizer, tokenizer->named_tokens().eos);
    input.now = std::chrono::system_clock::now();
    input.max_output_bytes = 2 * kDefaultMaxBodyBytes;
    input.max_time = std::chrono::seconds(1);
    return chat_template.render(input);
  };
}

}  // namespace

Result<ModelContext> load_model_context(const std::filesystem::path& model_dir, std::string served_name) {
  ModelContext model;
  model.served_name = std::move(served_name);
  model.created = std::time(nullptr);
  if (const Result<void> loaded = load_model_defaults(model_dir, model); !loaded) return loaded.error();
  Result<std::unique_ptr<Tokenizer>> tokenizer = load_tokenizer(model_dir);
  if (!tokenizer) return Error{tokenizer.error().message, ""};  // which names file and field
  model.tokenizer = std::move(tokenizer).value();
  const auto eos = model.tokenizer->named_tokens().eos;
  if (model.eos_token_ids.empty() && eos) model.eos_token_ids.push_back(*eos);
  Result<ChatTemplate> chat_template = load_chat_template(model_dir);
  if (chat_template) {
    model.render_chat = make_renderer(std::move(chat_template).value(), model.tokenizer);
  } else {
    LOG_WARNING("no usable chat template ({}: {}): chat requests are refused", chat_template.error().field,
                chat_template.error().message);
  }
  return model;
}

}  // namespace caudal
