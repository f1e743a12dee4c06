#include "common/socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "common/check.h"

namespace caudal {
namespace {

constexpr int kReconnectMinMs = 100;
constexpr int kReconnectMaxMs = 2000;
constexpr int kHandshakeMs = 2000;
constexpr int kMaxDroppedInARow = 100;  // malformed messages; then the caller has its turn
constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";

void set_int(void* socket, int option, int value) { CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0); }

void set_string(void* socket, int option, const std::string& value) {
  CHECK(zmq_setsockopt(socket, option, value.data(), value.size()) == 0);
}

std::string to_z85(const std::string& key) {
  std::array<char, 41> text{};
  CHECK(zmq_z85_encode(text.data(), reinterpret_cast<const std::uint8_t*>(key.data()), key.size()) != nullptr);
  return text.data();
}

bool is_z85_key(const std::string& text) {
  std::array<std::uint8_t, 32> key{};
  return text.size() == 40 && zmq_z85_decode(key.data(), text.c_str()) != nullptr;
}

// One ZAP request (ZeroMQ RFC 27): admit the peer if its public key is the cluster's.
// Frames: version, request id, domain, address, identity, mechanism, credentials.
void answer_zap(void* handler, const std::string& allowed_key) {
  std::array<std::string, 7> frames;
  std::size_t count = 0;
  for (bool more = true; more;) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, handler, 0) < 0) {
      zmq_msg_close(&part);
      return;
    }
    more = zmq_msg_more(&part) != 0;
    if (count < frames.size()) {
      frames[count].assign(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
    }
    ++count;
    zmq_msg_close(&part);
  }
  const bool admitted =
      count == 7 && frames[5] == "CURVE" && frames[6].size() == 32 && to_z85(frames[6]) == allowed_key;
  const std::array<std::string, 6> reply = {"1.0", frames[1], admitted ? "200" : "400", admitted ? "OK" : "unknown key",
                                            "",    ""};
  for (std::size_t i = 0; i < reply.size(); ++i) {
    zmq_send(handler, reply[i].data(), reply[i].size(), i + 1 < reply.size() ? ZMQ_SNDMORE : 0);
  }
}

Error no_scheme(const std::string& endpoint) {
  return Error{endpoint + ": must begin with tcp:// or ipc://", "endpoint"};
}

Error socket_error(const std::string& endpoint, int code) {
  std::string reason = code == EADDRINUSE ? "the address is in use" : zmq_strerror(code);
  return Error{endpoint + ": " + reason, "endpoint"};
}

}  // namespace

CurveKeys generate_curve_keys() {
  std::array<char, 41> public_key{};
  std::array<char, 41> secret_key{};
  CHECK_MSG(zmq_curve_keypair(public_key.data(), secret_key.data()) == 0, "libzmq was built without CURVE");
  return {public_key.data(), secret_key.data()};
}

Result<CurveKeys> load_curve_keys(const std::string& path) {
  std::ifstream file(path);
  CurveKeys keys;
  std::string name;
  std::string value;
  while (file >> name >> value) {
    if (name == "public") keys.public_key = value;
    if (name == "secret") keys.secret_key = value;
  }
  if (!is_z85_key(keys.public_key) || !is_z85_key(keys.secret_key)) {
    return Error{"needs two lines, \"public KEY\" and \"secret KEY\", each key 40 Z85 characters", "curve-keys"};
  }
  return keys;
}

bool is_loopback_endpoint(std::string_view endpoint) {
  if (endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://")) return true;
  if (!endpoint.starts_with("tcp://")) return false;
  std::string_view host = endpoint.substr(6);
  host = host.substr(0, host.rfind(':'));
  return host.starts_with("127.") || host == "localhost" || host == "[::1]";
}

WakeEvent::WakeEvent() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(fd_ >= 0); }

WakeEvent::~WakeEvent() { close(fd_); }

void WakeEvent::signal() {
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) is already a wake-up.
  if (write(fd_, &one, sizeof one) < 0) CHECK(errno == EAGAIN);
}

void WakeEvent::clear() {
  std::uint64_t count = 0;
  if (read(fd_, &count, sizeof count) < 0) CHECK(errno == EAGAIN);
}

struct Socket::Impl {
  void* context = nullptr;
  void* socket = nullptr;
  bool router = false;
  bool deliver_malformed = false;
  std::string endpoint;
  std::thread zap;  // admits peers; ends when the context does

  Impl(int type, const std::string& address, const SocketOptions& options)
      : context(zmq_ctx_new()), router(type == ZMQ_ROUTER), deliver_malformed(options.deliver_malformed) {
    socket = zmq_socket(context, type);
    CHECK(socket != nullptr);
    set_int(socket, ZMQ_SNDHWM, options.high_water_mark);
    set_int(socket, ZMQ_RCVHWM, options.most_unread > 0 ? options.most_unread : options.high_water_mark);
    set_int(socket, ZMQ_LINGER, static_cast<int>(options.linger.count()));
    set_int(socket, ZMQ_HANDSHAKE_IVL, kHandshakeMs);
    set_int(socket, ZMQ_RECONNECT_IVL, kReconnectMinMs);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, kReconnectMaxMs);
    set_int(socket, ZMQ_IPV6, address.find('[') != std::string::npos ? 1 : 0);
    const auto max_bytes = static_cast<std::int64_t>(options.max_message_bytes);
    CHECK(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes) == 0);
    if (options.heartbeat.count() > 0) {
      set_int(socket, ZMQ_HEARTBEAT_IVL, static_cast<int>(options.heartbeat.count()));
      set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, static_cast<int>(options.heartbeat_timeout.count()));
      set_int(socket, ZMQ_HEARTBEAT_TTL, static_cast<int>(options.heartbeat_timeout.count()));
    }
    if (router) set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    if (options.curve) use_curve(*options.curve);
  }

  ~Impl() {
    zmq_close(socket);
    zmq_ctx_shutdown(context);
    if (zap.joinable()) zap.join();
    zmq_ctx_term(context);
  }

  void use_curve(const CurveKeys& keys) {
    set_string(socket, ZMQ_CURVE_SECRETKEY, keys.secret_key);
    if (!router) {
      set_string(socket, ZMQ_CURVE_PUBLICKEY, keys.public_key);
      set_string(socket, ZMQ_CURVE_SERVERKEY, keys.public_key);
      return;
    }
    set_int(socket, ZMQ_CURVE_SERVER, 1);
    set_string(socket, ZMQ_ZAP_DOMAIN, "caudal");
    void* handler = zmq_socket(context, ZMQ_REP);
    CHECK(handler != nullptr && zmq_bind(handler, kZapEndpoint) == 0);
    zap = std::thread([handler, key = keys.public_key] {
      zmq_pollitem_t item{handler, 0, ZMQ_POLLIN, 0};
      while (zmq_poll(&item, 1, -1) >= 0 || errno == EINTR) {
        if ((item.revents & ZMQ_POLLIN) != 0) answer_zap(handler, key);
      }
      zmq_close(handler);
    });
  }

  void remember_endpoint() {
    std::array<char, 256> text{};
    std::size_t size = text.size();
    CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, text.data(), &size) == 0);
    endpoint = text.data();
  }
};

Socket::Socket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Socket::~Socket() = default;

Result<std::unique_ptr<Socket>> Socket::bind_router(const std::string& endpoint, const SocketOptions& options) {
  if (endpoint.find("://") == std::string::npos) return no_scheme(endpoint);
  if (!is_loopback_endpoint(endpoint) && !options.curve) {
    return Error{endpoint + ": an address off loopback needs CURVE keys", "endpoint"};
  }
  auto impl = std::make_unique<Impl>(ZMQ_ROUTER, endpoint, options);
  if (zmq_bind(impl->socket, endpoint.c_str()) != 0) return socket_error(endpoint, errno);
  impl->remember_endpoint();
  return std::unique_ptr<Socket>(new Socket(std::move(impl)));
}

Result<std::unique_ptr<Socket>> Socket::connect_dealer(const std::string& endpoint, const SocketOptions& options) {
  if (endpoint.find("://") == std::string::npos) return no_scheme(endpoint);
  if (!is_loopback_endpoint(endpoint) && !options.curve) {
    return Error{endpoint + ": an address off loopback needs CURVE keys", "endpoint"};
  }
  auto impl = std::make_unique<Impl>(ZMQ_DEALER, endpoint, options);
  if (zmq_connect(impl->socket, endpoint.c_str()) != 0) return socket_error(endpoint, errno);
  impl->endpoint = endpoint;
  return std::unique_ptr<Socket>(new Socket(std::move(impl)));
}

const std::string& Socket::endpoint() const { return impl_->endpoint; }

void Socket::wait(std::chrono::milliseconds timeout, WakeEvent* wake) {
  std::array<zmq_pollitem_t, 2> items{};
  items[0] = {impl_->socket, 0, ZMQ_POLLIN, 0};
  if (wake != nullptr) items[1] = {nullptr, wake->fd(), ZMQ_POLLIN, 0};
  // Interrupted or not: the caller looks at everything anyway.
  zmq_poll(items.data(), wake != nullptr ? 2 : 1, static_cast<long>(timeout.count()));
  if (wake != nullptr && (items[1].revents & ZMQ_POLLIN) != 0) wake->clear();
}

std::optional<Socket::Message> Socket::receive() {
  for (int dropped = 0; dropped < kMaxDroppedInARow; ++dropped) {
    Message message;
    int frame = 0;
    for (bool more = true; more; ++frame) {
      zmq_msg_t part;
      zmq_msg_init(&part);
      if (zmq_msg_recv(&part, impl_->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&part);
        return std::nullopt;
      }
      more = zmq_msg_more(&part) != 0;
      std::string text(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
      zmq_msg_close(&part);
      if (impl_->router && frame == 0) {
        message.peer = std::move(text);
        continue;
      }
      if (!message.body.empty()) {
        message.malformed = true;
      } else if (text.empty() && more) {
        message.delimited = true;
      } else {
        message.body = std::move(text);
      }
    }
    message.malformed = message.malformed || message.body.empty();
    if (!message.malformed || impl_->deliver_malformed) return message;
  }
  return std::nullopt;
}

SendStatus Socket::send(const std::string& peer, std::string_view body, bool delimited) {
  if (impl_->router && zmq_send(impl_->socket, peer.data(), peer.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
    return errno == EHOSTUNREACH ? SendStatus::kPeerGone : SendStatus::kFull;
  }
  if (delimited && zmq_send(impl_->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return SendStatus::kFull;
  if (zmq_send(impl_->socket, body.data(), body.size(), ZMQ_DONTWAIT) < 0) return SendStatus::kFull;
  return SendStatus::kSent;
}

}  // namespace caudal
