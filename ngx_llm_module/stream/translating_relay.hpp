// A stream that is translated: decoder, a look at what passes, encoder. Recovery
// (recoverable_relay.hpp) puts a filter between the first two.
#pragma once

#include "ngx_llm_module/stream/relay.hpp"

namespace llm {

class TranslatingRelay : public Relay, protected ir::EventSink {
  public:
    TranslatingRelay(std::unique_ptr<Decoder> decoder, std::unique_ptr<Encoder> encoder)
        : decoder_(std::move(decoder)), encoder_(std::move(encoder)) {}

    void feed(std::string_view bytes) override { decoder_->feed(bytes, *this); }
    void event(const ir::StreamEvent &event) override { on_event(event); }
    void finish() override;
    void append_error(const ApiError &error) override { encoder_->error(error, out_); }
    void append_ping() override { encoder_->ping(out_); }
    const Usage &usage() const override { return usage_; }
    std::string_view upstream_model() const override { return model_; }
    std::string_view finish_reason() const override { return finish_reason_; }
    uint64_t content_bytes() const override { return content_bytes_; }

  protected:
    void on_event(const ir::StreamEvent &event) override;
    // To the client.
    void pass(const ir::StreamEvent &event);
    // What the ledger and the commit point need to know.
    void tap(const ir::StreamEvent &event);
    // Another provider's stream follows; its tokens are counted from 0.
    void use_decoder(std::unique_ptr<Decoder> decoder);

  private:
    std::unique_ptr<Decoder> decoder_;
    std::unique_ptr<Encoder> encoder_;
    Usage usage_;
    uint64_t content_bytes_ = 0;
    std::string model_;
    std::string finish_reason_;
};

}  // namespace llm
