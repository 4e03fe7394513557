"""A least-squares line in TensorFlow, saved as TensorFlow Serving wants it."""

import argparse
import os

import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--model_dir")
parser.add_argument("--epochs", type=int, default=200)
args, _ = parser.parse_known_args()
x = tf.constant([[1.0], [2.0], [3.0]])
y = 2.0 * x + 1.0
w, b = tf.Variable([[0.0]]), tf.Variable([0.0])
best = tf.keras.optimizers.SGD(0.1)
for _ in range(args.epochs):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((x @ w + b - y) ** 2)
    best.apply_gradients(zip(tape.gradient(loss, [w, b]), [w, b], strict=True))
print(f"loss={float(loss):.6f}; model_dir={args.model_dir}", flush=True)


class Line(tf.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = w, b

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x @ self.w + self.b}


line = Line()
tf.saved_model.save(line, os.path.join(os.environ["SM_MODEL_DIR"], "1"), signatures=line.__call__)
