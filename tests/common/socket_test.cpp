#include "common/socket.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

namespace caudal {
namespace {

using namespace std::chrono_literals;

std::optional<Socket::Message> receive_within(Socket& socket, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (auto message = socket.receive()) return message;
    socket.wait(10ms, nullptr);
  }
  return std::nullopt;
}

std::unique_ptr<Socket> bound(const SocketOptions& options = {}) {
  auto socket = Socket::bind_router("tcp://127.0.0.1:0", options);
  EXPECT_TRUE(socket.ok());
  return std::move(socket).value();
}

std::unique_ptr<Socket> connected(const Socket& to, const SocketOptions& options = {}) {
  auto socket = Socket::connect_dealer(to.endpoint(), options);
  EXPECT_TRUE(socket.ok());
  return std::move(socket).value();
}

TEST(Socket, CarriesMessagesBothWays) {
  auto router = bound();
  auto dealer = connected(*router);
  EXPECT_EQ(dealer->send("", "hello"), SendStatus::kSent);
  const auto message = receive_within(*router, 2s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, "hello");
  EXPECT_EQ(router->send(message->peer, "back"), SendStatus::kSent);
  const auto reply = receive_within(*dealer, 2s);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "back");
}

TEST(Socket, TellsWhenAPeerIsGone) {
  auto router = bound();
  EXPECT_EQ(router->send("nobody", "x"), SendStatus::kPeerGone);
  auto dealer = connected(*router);
  dealer->send("", "hello");
  const auto message = receive_within(*router, 2s);
  ASSERT_TRUE(message);
  dealer.reset();
  SendStatus status = SendStatus::kSent;
  for (int i = 0; i < 200 && status == SendStatus::kSent; ++i) {
    status = router->send(message->peer, "x");
    router->wait(10ms, nullptr);
    EXPECT_FALSE(router->receive());
  }
  EXPECT_EQ(status, SendStatus::kPeerGone);
}

TEST(Socket, AnotherThreadInterruptsTheWait) {
  auto router = bound();
  WakeEvent wake;
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);
    wake.signal();
  });
  const auto start = std::chrono::steady_clock::now();
  router->wait(10s, &wake);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  other.join();
}

TEST(Socket, AnAddressInUseIsAnErrorThatNamesIt) {
  auto router = bound();
  const auto second = Socket::bind_router(router->endpoint(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find(router->endpoint()), std::string::npos);
  EXPECT_FALSE(Socket::bind_router("nonsense", {}).ok());
}

TEST(Socket, OffLoopbackNeedsKeys) {
  EXPECT_FALSE(Socket::bind_router("tcp://0.0.0.0:0", {}).ok());
  EXPECT_FALSE(Socket::bind_router("tcp://*:0", {}).ok());
  EXPECT_FALSE(Socket::connect_dealer("tcp://10.0.0.1:5", {}).ok());
  EXPECT_TRUE(Socket::bind_router("tcp://0.0.0.0:0", {.curve = generate_curve_keys()}).ok());
  EXPECT_TRUE(is_loopback_endpoint("tcp://127.0.0.2:1"));
  EXPECT_TRUE(is_loopback_endpoint("tcp://[::1]:1"));
  EXPECT_FALSE(is_loopback_endpoint("tcp://10.0.0.1:1"));
  EXPECT_FALSE(is_loopback_endpoint("udp://127.0.0.1:1"));
}

TEST(Socket, CurveAdmitsOnlyTheClusterKey) {
  const CurveKeys keys = generate_curve_keys();
  auto router = bound({.curve = keys});
  auto friendly = connected(*router, {.curve = keys});
  CurveKeys impostor = generate_curve_keys();
  impostor.public_key = keys.public_key;  // knows the address and the public half, not the secret
  auto plain = connected(*router);
  plain->send("", "no keys");
  auto foreign = connected(*router, {.curve = impostor});
  foreign->send("", "public half only");
  friendly->send("", "mine");
  const auto message = receive_within(*router, 3s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, "mine");
  EXPECT_FALSE(receive_within(*router, 300ms));
}

TEST(Socket, TooLargeAMessageEndsOnlyItsConnection) {
  auto router = bound({.max_message_bytes = 1000});
  auto large = connected(*router);
  auto small = connected(*router);
  large->send("", std::string(2000, 'x'));
  small->send("", "fine");
  const auto message = receive_within(*router, 2s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, "fine");
  EXPECT_FALSE(receive_within(*router, 200ms));
}

TEST(CurveKeys, FileRoundTripAndErrors) {
  const CurveKeys keys = generate_curve_keys();
  const std::string path = testing::TempDir() + "caudal_curve_keys_test";
  std::ofstream(path) << "public " << keys.public_key << "\nsecret " << keys.secret_key << "\n";
  const auto loaded = load_curve_keys(path);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value().secret_key, keys.secret_key);
  std::ofstream(path) << "public " << std::string(40, '"') << "\nsecret " << keys.secret_key << "\n";
  EXPECT_FALSE(load_curve_keys(path).ok()) << "not Z85";
  std::remove(path.c_str());
  EXPECT_FALSE(load_curve_keys(path).ok());
}

}  // namespace
}  // namespace caudal
