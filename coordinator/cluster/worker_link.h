// WorkerLink: the control link's coordinator end. Its thread owns the ROUTER socket, encodes and decodes;
// the engine thread hands it messages and gets LinkEvents. A slow or dead worker never blocks either.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "common/socket.h"
#include "common/wire.h"

namespace caudal {

struct LinkEvent {
  struct PeerGone {};
  std::string peer;
  std::variant<FromWorker, PeerGone> what;
};

class WorkerLink {
 public:
  // Called on the link thread; must not wait for the link.
  using Handler = std::function<void(LinkEvent)>;

  static Result<std::unique_ptr<WorkerLink>> bind(const std::string& endpoint, const SocketOptions& options);
  ~WorkerLink();  // sends what is queued (bounded by the linger), then closes

  const std::string& endpoint() const;
  void start(Handler handler);
  // Encoded once for all peers. Any thread.
  void send(std::vector<std::string> peers, ToWorker message);

 private:
  struct Impl;
  explicit WorkerLink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace caudal
