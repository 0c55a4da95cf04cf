// The request line and headers of a request to a provider: whose word counts, and that nothing
// gets in that would be another line.
#include <gtest/gtest.h>

#include "translators/provider/request_head.hpp"

namespace llm {
namespace {

class RequestHeads : public ::testing::Test {
  protected:
    RequestHeads() {
        request.path = "/chat";
        request.host = "h.test";
        request.user_agent = "agent";
        request.dialect = &kOpenAi;
        request.key = "KEY";
    }

    std::string head() {
        std::string text;
        append_head(request, text);
        return text;
    }
    bool has(std::string_view line) {
        return head().find("\r\n" + std::string(line) + "\r\n") != std::string::npos;
    }
    bool names(std::string_view name) {
        return head().find("\r\n" + std::string(name) + ":") != std::string::npos;
    }

    RequestHead request;
};

TEST_F(RequestHeads, OfAPlainRequest) {
    request.base_path = "/v1";
    request.body_size = 12;
    EXPECT_EQ(head(),
              "POST /v1/chat HTTP/1.1\r\nhost: h.test\r\ncontent-type: application/json\r\n"
              "accept: application/json\r\naccept-encoding: identity\r\n"
              "user-agent: agent\r\nauthorization: Bearer KEY\r\n"
              "content-length: 12\r\n");
}

TEST_F(RequestHeads, TheOperatorsWordCounts) {
    HeaderLine own[] = {{"Host", "other.test"}, {"User-Agent", "mine"}, {"x-empty", ""}};
    request.configured = own;
    EXPECT_EQ(head_host(request), "other.test");
    EXPECT_TRUE(has("Host: other.test"));
    EXPECT_FALSE(names("host"));
    EXPECT_FALSE(names("user-agent"));
    EXPECT_FALSE(names("x-empty"));
    EXPECT_TRUE(has("authorization: Bearer KEY"));
}

TEST_F(RequestHeads, OneCredentialOnly) {
    HeaderLine token[] = {{"Authorization", "Bearer token"}};
    request.configured = token;
    request.auth = key_header("api-key");
    EXPECT_FALSE(names("api-key"));
    HeaderLine own_key[] = {{"Api-Key", "mine"}};
    request.configured = own_key;
    EXPECT_FALSE(names("api-key"));
    request.configured = {};
    EXPECT_TRUE(has("api-key: KEY"));
    EXPECT_FALSE(names("authorization"));
    request.auth = key_header("authorization", "Token ");
    EXPECT_TRUE(has("authorization: Token KEY"));
    request.key = {};
    EXPECT_FALSE(names("authorization"));
}

TEST_F(RequestHeads, SignedAndUnknownCredentialsSendNoKey) {
    for (const Auth &auth : {sigv4("bedrock"), kNoAuth, Auth{AuthKind::query, "key", ""}}) {
        request.auth = auth;
        EXPECT_EQ(head().find("KEY"), std::string::npos);
    }
}

TEST_F(RequestHeads, NoSecondLineInAValue) {
    request.key = "a\r\nx-evil: 1";
    HeaderLine forwarded[] = {{"openai-beta", "b\nx-evil: 1"}};
    request.forwarded = forwarded;
    EXPECT_EQ(head().find("evil"), std::string::npos);
}

TEST_F(RequestHeads, TheVersionOfMessages) {
    EXPECT_FALSE(names("anthropic-version"));
    request.dialect = &kAnthropic;
    EXPECT_TRUE(has("anthropic-version: 2023-06-01"));
    HeaderLine clients[] = {{"anthropic-version", "2099-01-01"}};
    request.forwarded = clients;
    EXPECT_TRUE(has("anthropic-version: 2099-01-01"));
    EXPECT_FALSE(has("anthropic-version: 2023-06-01"));
    request.forwarded = {};
    request.carrier = Carrier::azure;
    EXPECT_TRUE(names("anthropic-version"));
    for (Carrier carrier : {Carrier::vertex, Carrier::bedrock}) {
        request.carrier = carrier;
        EXPECT_FALSE(names("anthropic-version"));
    }
}

TEST_F(RequestHeads, FixedHeadersGiveWay) {
    FixedHeader fixed[2] = {{"x-fixed", "1"}, {"openai-beta", "default"}};
    HeaderLine own[] = {{"X-Fixed", "2"}};
    HeaderLine forwarded[] = {{"openai-beta", "asked"}};
    request.fixed = fixed;
    EXPECT_TRUE(has("x-fixed: 1"));
    request.configured = own;
    request.forwarded = forwarded;
    EXPECT_FALSE(has("x-fixed: 1"));
    EXPECT_TRUE(has("openai-beta: asked"));
    EXPECT_FALSE(has("openai-beta: default"));
}

TEST_F(RequestHeads, WhatIsAcceptedOfAStream) {
    request.is_stream = true;
    EXPECT_TRUE(has("accept: text/event-stream"));
    request.dialect = &kAnthropic;
    request.carrier = Carrier::bedrock;
    EXPECT_TRUE(has("accept: application/vnd.amazon.eventstream"));
}

TEST_F(RequestHeads, ALengthWhereOneIsStated) {
    EXPECT_FALSE(names("content-length"));
    request.body_size = 0;
    EXPECT_TRUE(has("content-length: 0"));
    request.method = "GET";
    EXPECT_TRUE(has("content-length: 0"));
}

TEST_F(RequestHeads, OtherContentThanJson) {
    HeaderLine content[] = {{"content-type", "audio/wav"}, {"content-encoding", ""}};
    request.content = content;
    request.method = "GET";
    EXPECT_TRUE(has("content-type: audio/wav"));
    EXPECT_FALSE(names("content-encoding"));
    EXPECT_FALSE(names("accept"));
    EXPECT_FALSE(names("content-length"));
}

}  // namespace
}  // namespace llm
