// Redis without a network: URLs, slots, redirections, commands and answers.
#include <gtest/gtest.h>

#include "ngx_llm_module/conf/redis_url.hpp"
#include "ngx_llm_module/redis/resp.hpp"
#include "ngx_llm_module/redis/slots.hpp"

namespace llm {
namespace {

TEST(RedisUrl, EveryPart) {
    RedisUrl url;
    ASSERT_EQ(parse_redis_url("rediss://me%3A:p%2fq%40@host.test:7001/12", url), nullptr);
    EXPECT_TRUE(url.tls);
    EXPECT_EQ(url.user, "me:");
    EXPECT_EQ(url.password, "p/q@");
    EXPECT_EQ(url.host, "host.test");
    EXPECT_EQ(url.port, 7001);
    EXPECT_EQ(url.database, 12);
}

TEST(RedisUrl, Defaults) {
    RedisUrl url;
    ASSERT_EQ(parse_redis_url("redis://[2001:db8::1]", url), nullptr);
    EXPECT_FALSE(url.tls);
    EXPECT_EQ(url.host, "2001:db8::1");
    EXPECT_EQ(url.port, 6379);
    EXPECT_EQ(url.database, -1);
    EXPECT_EQ(url.user + url.password, "");
}

TEST(RedisUrl, ASocketInTheFileSystem) {
    RedisUrl url;
    ASSERT_EQ(parse_redis_url("redis://me:secret@unix:/run/redis/redis.sock:/3", url), nullptr);
    EXPECT_EQ(url.host, "unix:/run/redis/redis.sock");
    EXPECT_EQ(url.port, 0);
    EXPECT_EQ(url.database, 3);
    EXPECT_EQ(url.user + "/" + url.password, "me/secret");
    url = {};
    ASSERT_EQ(parse_redis_url("redis://unix:/run/redis.sock", url), nullptr);
    EXPECT_EQ(url.host, "unix:/run/redis.sock");
    EXPECT_EQ(url.database, -1);
    for (const std::string &bad :
         {std::string("redis://unix:"), std::string("redis://unix::/1"),
          std::string("rediss://unix:/run/redis.sock"), std::string("redis://unix:/a:/x"),
          std::string("redis://unix:/a:1"), "redis://unix:/" + std::string(107, 'a')}) {
        EXPECT_NE(parse_redis_url(bad, url), nullptr) << bad;
    }
}

TEST(RedisUrl, Refused) {
    for (const char *bad : {"", "redis:/a", "redis://", "redis://a:1x", "redis://a/9999999999",
                            "redis://%@a", "redis://a b", "redis://[::1]x", "redis://a#b"}) {
        RedisUrl url;
        EXPECT_NE(parse_redis_url(bad, url), nullptr) << bad;
    }
}

// From the specification of Redis Cluster, and as CLUSTER KEYSLOT answers.
TEST(RedisSlots, KnownOnes) {
    EXPECT_EQ(slot_of("123456789"), 0x31c3 % kSlots);
    EXPECT_EQ(slot_of("foo"), 12182);
    EXPECT_EQ(slot_of(""), 0);
    EXPECT_EQ(slot_of("{foo}.bar"), slot_of("foo"));
    EXPECT_EQ(slot_of("a{foo}{bar}"), slot_of("foo"));
    EXPECT_NE(slot_of("{}foo"), slot_of("foo"));
    EXPECT_EQ(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    EXPECT_NE(slot_of("{foo"), slot_of("foo"));
}

TEST(RedisSlots, Redirections) {
    Redirect moved = parse_redirect("MOVED 3999 127.0.0.1:6381");
    EXPECT_EQ(moved.kind, Redirection::moved);
    EXPECT_EQ(moved.slot, 3999);
    EXPECT_EQ(moved.host, "127.0.0.1");
    EXPECT_EQ(moved.port, 6381);
    Redirect ask = parse_redirect("ASK 0 2001:db8::1:7000");
    EXPECT_EQ(ask.kind, Redirection::ask);
    EXPECT_EQ(ask.host, "2001:db8::1");
    EXPECT_EQ(parse_redirect("MOVED 1 :7000").host, "");
    for (const char *bad : {"", "MOVED", "MOVED 1", "MOVED 16384 a:1", "MOVED x a:1", "MOVED 1 a",
                            "MOVED 1 a:0", "MOVED 1 a:70000", "ERR 1 a:1"}) {
        EXPECT_EQ(parse_redirect(bad).kind, Redirection::none) << bad;
    }
}

TEST(RedisCommands, AsOnTheWire) {
    RespArgs args;
    args.add("SET").add("").add(int64_t(-12));
    std::string out;
    write_command_head(out, args.count());
    out += args.bytes();
    EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\n-12\r\n");
}

// However the bytes are cut.
TEST(RedisReplies, InPieces) {
    std::string_view input = "*4\r\n:7\r\n$2\r\nab\r\n$-1\r\n*1\r\n+x\r\n-NOSCRIPT no\r\n:1\r\n";
    for (size_t piece = 1; piece <= input.size(); piece++) {
        RespReader reader;
        int count = 0;
        for (size_t at = 0; at < input.size(); at += piece) {
            ASSERT_TRUE(reader.feed(input.substr(at, piece)));
            while (reader.next()) {
                RedisReply reply = reader.reply();
                if (count == 0) {
                    EXPECT_EQ(reply.size(), 4u);
                    EXPECT_EQ(reply[0].integer(), 7);
                    EXPECT_EQ(reply[1].text(), "ab");
                    EXPECT_EQ(reply[2].text(), "");
                    EXPECT_EQ(reply[3][0].text(), "x");
                    EXPECT_EQ(reply[9][9].integer(), 0);
                } else if (count == 1) {
                    EXPECT_TRUE(reply.is_error_of("NOSCRIPT"));
                    EXPECT_FALSE(reply.is_error_of("NO"));
                }
                count++;
            }
            EXPECT_FALSE(reader.is_bad());
        }
        EXPECT_EQ(count, 3);
    }
}

TEST(RedisReplies, Nonsense) {
    for (const char *bad : {"HTTP/1.1 400\r\n", "*x\r\n", "*99999999\r\n", "$-2\r\n", ":1a\r\n"}) {
        RespReader reader;
        reader.feed(bad);
        EXPECT_FALSE(reader.next()) << bad;
    }
    RespReader reader;
    std::string flood(1 << 20, 'x');
    ASSERT_TRUE(reader.feed("+"));
    int fed = 0;
    while (reader.feed(flood) && !reader.next() && fed < 100) {
        fed++;
    }
    EXPECT_LT(fed, 20) << "an answer without an end is given up";
}

}  // namespace
}  // namespace llm
