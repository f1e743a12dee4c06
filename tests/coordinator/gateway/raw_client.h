// A blocking TCP client that sends bytes as told and reads HTTP answers; for tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace caudal {

struct HttpAnswer {
  int status = 0;  // 0: the connection ended first
  std::string head;
  std::string body;  // chunks joined
  bool complete = false;
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void reset() {  // RST instead of FIN
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close();
  }
  void half_close() { shutdown(fd_, SHUT_WR); }
  // False when the other side is gone.
  bool send(std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // More bytes into the buffer; false at the end of the connection or after `timeout_ms`.
  bool receive(int timeout_ms = 5000) {
    pollfd item{fd_, POLLIN, 0};
    if (poll(&item, 1, timeout_ms) <= 0) return false;
    char bytes[65536];
    const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
    if (size <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }
  bool ended() const { return ended_; }
  const std::string& buffer() const { return buffer_; }
  bool wait_for(std::string_view text) {
    while (buffer_.find(text) == std::string::npos) {
      if (!receive()) return false;
    }
    return true;
  }
  // The next answer, skipping 100 Continue and its like.
  HttpAnswer read_answer(bool has_body = true) {
    HttpAnswer answer;
    do {
      if (!wait_for("\r\n\r\n")) return answer;
      const std::size_t end = buffer_.find("\r\n\r\n") + 4;
      answer.head = buffer_.substr(0, end);
      buffer_.erase(0, end);
      answer.status = std::atoi(answer.head.c_str() + 9);
    } while (answer.status / 100 == 1);
    if (!has_body) {
      answer.complete = true;
    } else if (answer.head.find("chunked") != std::string::npos) {
      read_chunks(answer);
    } else {
      const std::size_t at = answer.head.find("Content-Length: ");
      if (at == std::string::npos) {
        while (receive()) {
        }
        answer.body = std::move(buffer_);
        answer.complete = ended_;
        return answer;
      }
      const auto length = static_cast<std::size_t>(std::atoll(answer.head.c_str() + at + 16));
      while (buffer_.size() < length && receive()) {
      }
      answer.complete = buffer_.size() >= length;
      answer.body = buffer_.substr(0, length);
      buffer_.erase(0, length);
    }
    return answer;
  }

 private:
  void read_chunks(HttpAnswer& answer) {
    for (;;) {
      if (!wait_for("\r\n")) return;
      const auto size = static_cast<std::size_t>(std::strtoull(buffer_.c_str(), nullptr, 16));
      const std::size_t start = buffer_.find("\r\n") + 2;
      while (buffer_.size() < start + size + 2) {
        if (!receive()) return;
      }
      answer.body += buffer_.substr(start, size);
      buffer_.erase(0, start + size + 2);
      if (size == 0) {
        answer.complete = true;
        return;
      }
    }
  }

  int fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

inline std::string http_post(std::string_view path, std::string_view body, std::string_view extra = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(extra) + "\r\n" + std::string(body);
}

}  // namespace caudal
