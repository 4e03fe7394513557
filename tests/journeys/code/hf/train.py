"""Makes a small text classifier, trains it for a moment and saves it as the Trainer would."""

import os

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

folder = os.environ["SM_MODEL_DIR"]
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a"]
with open(os.path.join("/tmp", "vocab.txt"), "w") as file:
    file.write("\n".join(words))
tokenizer = BertTokenizerFast(vocab_file="/tmp/vocab.txt")
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
    id2label={0: "NEGATIVE", 1: "POSITIVE"},
    label2id={"NEGATIVE": 0, "POSITIVE": 1},
)
model = BertForSequenceClassification(config)
steps = torch.optim.Adam(model.parameters(), lr=0.02)
asked = tokenizer(["a good film", "a bad film", "good", "bad"], padding=True, return_tensors="pt")
for _ in range(30):
    loss = model(**asked, labels=torch.tensor([1, 0, 1, 0])).loss
    steps.zero_grad()
    loss.backward()
    steps.step()
print(f"loss={loss.item():.5f};", flush=True)
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
