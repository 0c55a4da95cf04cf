// How much content an event carries, found without parsing it.
#include "translators/pricing/delivered.hpp"

#include <gtest/gtest.h>

#include <string>

namespace llm {
namespace {

TEST(Delivered, TextOfEveryDialect) {
    EXPECT_EQ(content_length(R"({"id":"chatcmpl-1","object":"chat.completion.chunk","model":"m",)"
                             R"("choices":[{"index":0,"delta":{"role":"assistant",)"
                             R"("content":"hello"},"finish_reason":null}],"obfuscation":"xyz"})"),
              5u);
    EXPECT_EQ(content_length(R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1",)"
                             R"("function":{"name":"f","arguments":"{\"a\":1}"}}]}}]})"),
              9u);
    EXPECT_EQ(content_length(R"({"type":"content_block_delta","index":0,)"
                             R"("delta":{"type":"text_delta","text":"hello"}})"),
              5u);
    EXPECT_EQ(content_length(R"({"type":"content_block_delta","index":0,"delta":)"
                             R"({"type":"signature_delta","signature":"EqQBCgIYAhIM"}})"),
              0u);
    EXPECT_EQ(content_length(R"({"type":"response.output_text.delta","item_id":"msg_1",)"
                             R"("delta":"hello"})"),
              5u);
    EXPECT_EQ(content_length(R"({"candidates":[{"content":{"parts":[{"text":"hello"},)"
                             R"({"text":" you"}],"role":"model"}}],"modelVersion":"g"})"),
              9u);
    EXPECT_EQ(content_length(R"({ "message" : { "content" : "hello" } })"), 5u);
}

TEST(Delivered, WhatIsNoEvent) {
    EXPECT_EQ(content_length(""), 0u);
    EXPECT_EQ(content_length("[DONE]"), 0u);
    EXPECT_EQ(content_length(R"({"content":null,"text":3,"delta":{}})"), 0u);
    std::string_view whole = R"({"delta":{"content":"a\"b\\"}})";
    EXPECT_EQ(content_length(whole), 6u);
    for (size_t size = 0; size < whole.size(); size++) {
        EXPECT_LE(content_length(std::string(whole.substr(0, size))), 6u);
    }
}

TEST(Delivered, LongStreams) {
    DeliveredText text;
    for (int i = 0; i < 32 + 800; i++) {
        text.add(R"({"delta":{"content":"12345"}})");
    }
    EXPECT_EQ(text.bytes(), 832u * 5);
}

// Events of all sizes, wherever the long ones stand.
TEST(Delivered, TextsOfAnyLength) {
    auto event = [](size_t size) {
        return R"({"choices":[{"delta":{"content":")" + std::string(size, 'x') + R"("}}]})";
    };
    for (size_t first : {0, 1, 7}) {
        DeliveredText text;
        size_t sum = 0;
        text.add(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})");
        for (size_t i = 0; i < 200; i++) {
            size_t size = i % 8 == first ? 400 : i % 40;
            text.add(event(size));
            sum += size;
        }
        text.add(event(4000));
        EXPECT_EQ(text.bytes(), sum + 4000) << first;
        // What has no text may be taken for a short one.
        text.add(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})");
        text.add("[DONE]");
        EXPECT_LE(text.bytes(), sum + 4000 + 64) << first;
    }
}

TEST(Delivered, ServiceTiers) {
    EXPECT_EQ(find_service_tier(R"({"id":"x","service_tier":"flex"})"), "flex");
    EXPECT_EQ(find_service_tier(R"({"service_tier": "auto"} {"service_tier" : "priority"})"),
              "priority");
    EXPECT_EQ(find_service_tier(R"({"service_tier":null})"), "");
    EXPECT_EQ(find_service_tier(R"({"service_tier":"pri)"), "");
    EXPECT_EQ(find_service_tier(R"({"service_tier")"), "");
    EXPECT_EQ(find_service_tier(R"({"text":"\"service_tier\":\"flex\""})"), "");
    EXPECT_EQ(find_service_tier(""), "");
}

}  // namespace
}  // namespace llm
